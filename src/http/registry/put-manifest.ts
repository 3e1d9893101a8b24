/** `PUT …/manifests/<reference>`. OCI distribution-spec, "Pushing Manifests". Used by app.ts. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Descriptor } from '../../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts'
import { maxManifestBytes, parseManifest, rawManifest } from '../../oci/manifest.ts'
import { isTag } from '../../oci/reference.ts'
import { Shape } from '../../oci/shape.ts'
import { RegistryFault } from './fault.ts'
import { refuseHeld } from './held.ts'
import type { RegistryPath } from './path.ts'
import { readBody } from './request-body.ts'
import type { Traffic } from './traffic.ts'
import type { WriteSide } from './write-side.ts'

type ManifestPath = Extract<RegistryPath, { kind: 'manifest' }>

const tagQuery = new Shape(Type.Object({ tag: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])) }))

/** Tags that one request may set; the specification asks for 10 at least. */
const maxTags = 100
/** Missing blobs that one answer names. */
const maxNamed = 100

/**
 * Stores the manifest as it came and points the tags at it: the one of the path, and those of `?tag=`. An index may name manifests that
 * aren't here, an image's config and layers must be.
 */
export async function putManifest(
  request: FastifyRequest,
  reply: FastifyReply,
  { repository, reference }: ManifestPath,
  side: WriteSide & { readonly caller: string | undefined; readonly from: string; readonly traffic: Traffic },
): Promise<FastifyReply> {
  const { content } = side
  const extra = readTags(request.query)
  const tags = [...new Set([...('tag' in reference ? [reference.tag] : []), ...extra])]
  const bytes = await readBody(request.raw, maxManifestBytes)
  const digest = 'digest' in reference ? checkDigest(bytes, reference.digest) : digestOf(bytes)
  const { mediaType, subject } = parseManifest(bytes, request.headers['content-type'])
  const manifest = rawManifest(bytes, mediaType, digest)
  const missing = content.missingBlobs(repository, manifest)
  if (missing.length > 0) throw missingBlobs(missing)
  for (const tag of tags) {
    const now = content.findTag(repository, tag)
    if (now && now.descriptor.digest !== digest) refuseHeld(side, repository, [{ tag }], 'move')
  }
  await content.putManifest(repository, manifest)
  const { descriptor } = manifest
  await content.changeTags(tags.map(tag => ({ do: 'set', repository, tag, descriptor, source: 'push' })))
  for (const [object, name] of [['manifest', digest] as const, ...tags.map(tag => ['tag', tag] as const)]) {
    side.wrote?.({ action: 'push', caller: side.caller, from: side.from, repository, object, reference: name })
  }
  side.traffic.countPush()
  side.traffic.countPushedBytes(bytes.byteLength)
  return reply
    .code(201)
    .headers({
      location: `/v2/${repository}/manifests/${digest}`,
      'docker-content-digest': digest,
      'content-length': 0,
      ...(subject === undefined ? {} : { 'oci-subject': subject.digest }),
      ...(extra.length === 0 ? {} : { 'oci-tag': extra.join(', ') }),
    })
    .send()
}

function readTags(query: unknown): readonly string[] {
  const asked = tagQuery.check(query) ? (query.tag ?? []) : []
  const tags = typeof asked === 'string' ? [asked] : asked
  if (tags.length > maxTags) throw new RegistryFault(414, 'UNSUPPORTED', `at most ${maxTags} tags at once`)
  if (tags.every(isTag)) return tags
  throw new RegistryFault(400, 'MANIFEST_INVALID', 'a tag has letters, digits, "_", "." and "-", at most 128 of them')
}

function checkDigest(bytes: Uint8Array, digest: Digest): Digest {
  const found = digestOf(bytes, algorithmOf(digest))
  if (found === digest) return digest
  throw new RegistryFault(400, 'DIGEST_INVALID', 'the manifest is not what its digest says', {
    detail: { digest, found },
  })
}

function missingBlobs(missing: readonly Descriptor[]): RegistryFault {
  return new RegistryFault(
    404,
    'MANIFEST_BLOB_UNKNOWN',
    'the repository has no such blob: push the blobs of a manifest before the manifest',
    { detail: missing.slice(0, maxNamed).map(({ digest, mediaType, size }) => ({ digest, mediaType, size })) },
  )
}
