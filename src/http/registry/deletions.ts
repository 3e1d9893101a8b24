/**
 * Deletes of tags, manifests and blobs. They take content out of a repository at once; the bytes are left to the collection, which
 * knows what else needs them. OCI distribution-spec, "Content Management". Used by app.ts.
 */
import type { FastifyReply } from 'fastify'
import type { Digest } from '../../oci/digest.ts'
import { unknownBlob } from './blobs.ts'
import { RegistryFault } from './fault.ts'
import { refuseHeld } from './held.ts'
import { unknownManifest } from './manifests.ts'
import type { RegistryPath } from './path.ts'
import type { ManifestReference, RegistryWrite, WriteSide } from './write-side.ts'

type CallersSide = WriteSide & { readonly caller: string | undefined; readonly from: string }

/** `DELETE …/manifests/<reference>`: a tag alone, or a manifest with every tag on it. */
export async function deleteManifest(
  reply: FastifyReply,
  path: Extract<RegistryPath, { kind: 'manifest' }>,
  side: CallersSide,
): Promise<FastifyReply> {
  const { repository, reference } = path
  const { content } = side
  if ('tag' in reference) {
    if (!content.findTag(repository, reference.tag)) throw unknownManifest(content, path)
    refuseHeld(side, repository, [reference], 'delete')
    await content.changeTags([{ do: 'remove', repository, tag: reference.tag }])
    tell(side, { repository, object: 'tag', reference: reference.tag })
  } else {
    if (!content.findManifest(repository, reference.digest)) throw unknownManifest(content, path)
    refuseHeld(side, repository, leadingTo(side, repository, reference.digest), 'delete')
    content.removeManifest(repository, reference.digest)
    tell(side, { repository, object: 'manifest', reference: reference.digest })
  }
  return reply.code(202).header('content-length', 0).send()
}

/**
 * `DELETE …/blobs/<digest>`. A blob that a manifest of the repository needs stays, since the image would be broken: 405, the answer
 * of a registry that doesn't do this.
 */
export function deleteBlob(
  reply: FastifyReply,
  path: Extract<RegistryPath, { kind: 'blob' }>,
  side: CallersSide,
): FastifyReply {
  const { repository, digest } = path
  const { content } = side
  if (content.blobSize(repository, digest) === undefined) throw unknownBlob(content, path)
  const user = content.manifestWith(repository, digest)
  if (user !== undefined) {
    throw new RegistryFault(405, 'DENIED', 'a manifest of this repository needs the blob: delete that first', {
      detail: { name: repository, digest, manifest: user },
      headers: { allow: 'GET, HEAD' },
    })
  }
  content.unlinkBlob(repository, digest)
  tell(side, { repository, object: 'blob', reference: digest })
  return reply.code(202).header('content-length', 0).send()
}

/** Everything by which a holder may name the manifest: itself and the indexes that lead to it, by digest and by tag. */
function leadingTo({ content }: WriteSide, repository: string, digest: Digest): ManifestReference[] {
  return [digest, ...content.manifestsAbove(repository, digest)].flatMap(above => [
    { digest: above },
    ...content.tagsOn(repository, above).map(tag => ({ tag })),
  ])
}

function tell(
  { wrote, caller, from }: CallersSide,
  write: Pick<RegistryWrite, 'repository' | 'object' | 'reference'>,
): void {
  wrote?.({ action: 'delete', caller, from, ...write })
}
