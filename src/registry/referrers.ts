/**
 * Referrers: the signatures, SBOMs and other manifests that point at one. Asked for by the API, or kept in an index under a tag
 * where a registry has no such API. OCI distribution-spec, "Listing referrers" and "Referrers tag schema".
 */
import { performance } from 'node:perf_hooks'
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, hexOf, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { type Manifest, parseManifest, type RawManifest, rawManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import type { Answer } from './answer.ts'
import { findManifest } from './manifests.ts'
import { readPages } from './paging.ts'
import type { Ask, Transport } from './transport.ts'

/** More than this is nothing that belongs to one image. */
const maxReferrers = 10_000
/** How registries say that they don't know the API: the specification's 404, and what older ones and proxies answer to an odd path. */
const noApi = [400, 404, 405, 406, 501]

/** A registry that is replaced by a newer one is asked again after so long. Milliseconds. */
const absenceMs = 60 * 60_000

/** Whether one registry has the referrers API, as far as its answers have told: older ones need not be asked for every manifest. */
export class ReferrersApi {
  #absentUntil = 0

  get isAbsent(): boolean {
    return performance.now() < this.#absentUntil
  }

  /**
   * Takes note of an answer. Only a web server's own words for an unknown path tell of the registry: its errors in JSON may be about
   * the one repository.
   */
  answered({ status, type }: { readonly status: number; readonly type: string | undefined }): void {
    if (status === 404 && type?.startsWith('text/plain')) this.#absentUntil = performance.now() + absenceMs
  }
}

/** Descriptors of what refers to a manifest, with `artifactType` and annotations where the registry tells; none is `[]`. */
export async function listReferrers(
  transport: Transport,
  repository: string,
  digest: Digest,
  { api, signal }: { readonly api: ReferrersApi; readonly signal: AbortSignal },
): Promise<readonly Descriptor[]> {
  const ask: Ask = {
    method: 'GET',
    url: `/v2/${repository}/referrers/${digest}`,
    headers: { accept: mediaTypes.ociIndex },
    scopes: [`repository:${repository}:pull`],
    subject: 'referrers',
    doing: `list the referrers of ${shortDigest(digest)} of ${repository}`,
    expect: [200],
    signal,
  }
  const answer = api.isAbsent ? undefined : await transport.send({ ...ask, expect: [200, ...noApi] })
  if (answer === undefined || answer.status !== 200 || !isIndexAnswer(answer)) {
    if (answer) api.answered({ status: answer.status, type: answer.header('content-type') })
    await answer?.discard()
    const kept = await findManifest(transport, repository, referrersTag(digest), signal)
    return kept === undefined ? [] : entriesOf(transport, kept.bytes, kept.descriptor.mediaType, ask.doing)
  }
  const found: Descriptor[] = []
  for await (const page of readPages(transport, ask, answer)) {
    found.push(...entriesOf(transport, page, mediaTypes.ociIndex, ask.doing))
    if (found.length > maxReferrers) {
      throw transport.error('MANIFEST_INVALID', `it has more than ${maxReferrers} referrers`, ask.doing)
    }
  }
  return found
}

/** The tag under which a registry without the API keeps the referrers of a manifest: `sha256-<hex>`. */
export function referrersTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`
}

/** The index of the tag schema with one more referrer, or undefined if it is in there already. */
export function withReferrer(index: RawManifest | undefined, referrer: Descriptor): RawManifest | undefined {
  const parsed = index === undefined ? undefined : parseManifest(index.bytes, index.descriptor.mediaType)
  if (parsed?.kind === 'image') {
    throw new ImageError('MANIFEST_INVALID', 'the tag that keeps referrers points at an image, not at an index')
  }
  const before = parsed?.manifests ?? []
  if (before.some(one => one.digest === referrer.digest)) return undefined
  const document = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...before, referrer] }
  return rawManifest(Buffer.from(JSON.stringify(document)), mediaTypes.ociIndex)
}

/** A manifest as its subject's list of referrers shows it. */
export function asReferrer(manifest: Manifest, descriptor: Descriptor): Descriptor {
  const config = manifest.kind === 'image' ? manifest.config?.mediaType : undefined
  const artifactType = manifest.artifactType ?? config
  const { mediaType, digest, size } = descriptor
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  }
}

/** A 200 of another type is a web page or a proxy's: the specification takes that for a registry without the API. */
function isIndexAnswer(answer: Answer): boolean {
  return answer.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase() === mediaTypes.ociIndex
}

function entriesOf(transport: Transport, bytes: Uint8Array, mediaType: string, doing: string): readonly Descriptor[] {
  try {
    const manifest = parseManifest(bytes, mediaType)
    if (manifest.kind === 'index') return manifest.manifests
  } catch (error) {
    if (!(error instanceof ImageError)) throw error
    throw transport.error(error.code, `the list of referrers is ${error.message}`, doing, error.hint)
  }
  throw transport.error('MANIFEST_INVALID', 'the list of referrers is not an index', doing)
}
