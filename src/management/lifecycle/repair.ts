/**
 * Fetches content again that the disk has lost: by the engine, from where it came. Plans and Repositories that want something in its
 * repository are asked first, with their mirrors and credentials; then the references that its tags were filled from. Used by scrub.ts.
 */
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import { parseReference } from '../../oci/reference.ts'
import type { Store } from '../../store/store.ts'
import type { ImageRequest, ResolvedImage, TransferEngine } from '../../transfer/engine.ts'

export interface RepairOptions {
  readonly store: Pick<Store, 'upkeep' | 'content' | 'findManifest' | 'findTag' | 'tags'>
  readonly engine: Pick<TransferEngine, 'resolve' | 'fetch'>
  /** How plans and Repositories get what they want in a repository of the local registry. */
  readonly requestsFor: (repository: string) => readonly ImageRequest[]
}

/** Tags of one repository whose origin is tried. */
const maxTags = 100

/** Brings the content again. @throws Error that says why nobody offers it; the signal's reason. */
export async function repairContent(digest: Digest, options: RepairOptions, signal: AbortSignal): Promise<void> {
  let verdict: unknown = new Error(
    'nothing says where it came from: it was pushed, or its plan is gone. Push it again.',
  )
  for (const repository of options.store.upkeep.repositoriesWith(digest)) {
    for (const request of requestsOf(repository, options)) {
      try {
        await fetchOne(digest, request, options, signal)
        return
      } catch (error) {
        signal.throwIfAborted()
        verdict = error
      }
    }
  }
  throw verdict
}

/** Different places that may hold the repository's content, each once. */
function requestsOf(repository: string, { store, requestsFor }: RepairOptions): ImageRequest[] {
  const wanted = requestsFor(repository)
  const origins = store
    .tags(repository, undefined, maxTags)
    .flatMap(tag => originOf(repository, store.findTag(repository, tag)?.source ?? ''))
  const places = new Map<string, ImageRequest>()
  for (const request of [...wanted, ...origins]) {
    const place = `${request.source.registry}/${request.source.repository}`
    if (!places.has(place)) places.set(place, request)
  }
  return [...places.values()]
}

/** The request that a tag's recorded source stands for; nothing for what was pushed. */
function originOf(repository: string, source: string): ImageRequest[] {
  if (!source.includes('/')) return []
  try {
    return [{ source: parseReference(source), target: { repository }, mirrors: [], platforms: 'all', referrers: false }]
  } catch {
    return []
  }
}

async function fetchOne(
  digest: Digest,
  wanted: ImageRequest,
  { store, engine }: RepairOptions,
  signal: AbortSignal,
): Promise<void> {
  const { registry, repository } = wanted.source
  const request: ImageRequest = {
    ...wanted,
    source: { registry, repository, digest },
    target: { repository: wanted.target.repository },
    platforms: 'all',
    referrers: false,
  }
  const manifest = store.findManifest(wanted.target.repository, digest)
  if (manifest !== undefined) {
    // Reading a manifest that is absent fetches and keeps it.
    await engine.resolve(request, signal)
    if ((await store.content.size(digest)) === undefined) throw new Error('the manifest did not come')
    return
  }
  const size = store.upkeep.linkSizes(wanted.target.repository).get(digest)
  if (size === undefined) throw new Error('the repository has no such blob any more')
  await engine.fetch(blobAlone({ mediaType: 'application/octet-stream', digest, size }, request), {
    signal,
    priority: 0,
  })
}

/** One blob as the engine takes it: an image without manifests. */
function blobAlone(blob: Descriptor, request: ImageRequest): ResolvedImage {
  const nothing = { manifests: [], fetched: [], extraTags: [], notes: [] }
  return { request, root: blob, blobs: [blob], bytesTotal: blob.size, ...nothing }
}
