/** Headers that manifests and blobs have in common. OCI distribution-spec, "Pull"; RFC 9110, section 8.8. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'

/** For what is asked for by digest: it can't change. */
export const forever = 'max-age=31536000, immutable'

/** What the content is. Its digest is its entity tag, too. */
export function setContentHeaders(
  reply: FastifyReply,
  content: Pick<Descriptor, 'digest' | 'mediaType' | 'size'>,
): void {
  reply.headers({
    'content-type': content.mediaType,
    'content-length': content.size,
    'docker-content-digest': content.digest,
    etag: etagOf(content.digest),
  })
}

export function etagOf(digest: Digest): string {
  return `"${digest}"`
}

/** Whether the reader says, with If-None-Match, that it has this content already. */
export function isCurrent(request: FastifyRequest, digest: Digest): boolean {
  const known = request.headers['if-none-match']
  if (known === undefined) return false
  return known
    .split(',')
    .map(tag => tag.trim().replace(/^W\//, ''))
    .some(tag => tag === '*' || tag === etagOf(digest))
}
