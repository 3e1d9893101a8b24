/** What refers to a manifest: signatures, SBOMs. OCI distribution-spec, "Listing Referrers". */
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { Descriptor } from '../../oci/descriptor.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { Shape } from '../../oci/shape.ts'
import type { RegistryContent } from './content.ts'
import { RegistryFault } from './fault.ts'
import type { RegistryPath } from './path.ts'

/** Bytes of descriptors on one page: readers take no index above 4 MiB, and annotations may be long. */
const maxPageBytes = 2 * 1024 * 1024

const query = new Shape(
  Type.Object({
    artifactType: Type.Optional(Type.String({ maxLength: 255 })),
    last: Type.Optional(Type.String({ maxLength: 200 })),
  }),
)

/** Answers with an index, empty when nothing refers to the digest: a 404 would mean that this API is missing. */
export function answerReferrers(
  reply: FastifyReply,
  path: Extract<RegistryPath, { kind: 'referrers' }>,
  asked: unknown,
  store: RegistryContent,
): FastifyReply {
  if (!query.check(asked)) {
    throw new RegistryFault(400, 'UNSUPPORTED', 'artifactType is one media type', { detail: {} })
  }
  const { artifactType, last } = asked
  let found = store.referrers(path.repository, path.digest)
  if (artifactType !== undefined) {
    found = found.filter(descriptor => descriptor.artifactType === artifactType)
    reply.header('oci-filters-applied', 'artifactType')
  }
  const { manifests, more } = takePage(found, last)
  const end = manifests.at(-1)
  if (more && end) {
    const filter = artifactType === undefined ? '' : `artifactType=${encodeURIComponent(artifactType)}&`
    reply.header('link', `</v2/${path.repository}/referrers/${path.digest}?${filter}last=${end.digest}>; rel="next"`)
  }
  const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })
  // As bytes: to a string the framework would add a charset, and readers compare the type as a whole.
  return reply.header('content-type', mediaTypes.ociIndex).send(Buffer.from(index))
}

function takePage(found: readonly Descriptor[], last: string | undefined): { manifests: Descriptor[]; more: boolean } {
  const rest = found.slice(found.findIndex(descriptor => descriptor.digest === last) + 1)
  const manifests: Descriptor[] = []
  let bytes = 0
  for (const descriptor of rest) {
    bytes += Buffer.byteLength(JSON.stringify(descriptor))
    if (bytes > maxPageBytes && manifests.length > 0) return { manifests, more: true }
    manifests.push(descriptor)
  }
  return { manifests, more: false }
}
