/**
 * One image to the local side: its blobs, several at once, then its manifests, children first. By digest only: no tag moves here.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import type { BlobFetcher } from './blob-fetcher.ts'
import type { FetchOptions, ResolvedImage } from './engine.ts'
import { LinkClosed } from './link/obstacle.ts'
import type { LocalRegistry } from './local.ts'

/** Blobs of one image that are looked after at once. How many really move is for the slots, over all images. */
const width = 8

/**
 * Brings the blobs that are missing, makes every blob part of the target's repository, and lets `inspect` look at each. Gives what an
 * operator should know of the sources.
 * @throws ImageError a permanent one first, then LinkClosed.
 */
export async function fetchBlobs(
  image: ResolvedImage,
  parts: { local: LocalRegistry; fetcher: BlobFetcher; inspect?: (blob: Descriptor) => Promise<void> },
  options: FetchOptions,
): Promise<readonly string[]> {
  const { repository } = image.request.target
  const giveUp = new AbortController()
  const signal = AbortSignal.any([options.signal, giveUp.signal])
  const errors: ImageError[] = []
  const notes = new Set<string>()
  const queue = [...image.blobs]

  async function bring(blob: Descriptor): Promise<void> {
    if (!(await parts.local.hasBlob(repository, blob, signal))) {
      for (const note of await parts.fetcher.fetch(blob, image.request, { ...options, signal })) notes.add(note)
    }
    await parts.local.placeBlob(repository, blob, signal)
    await parts.inspect?.(blob)
    options.progress?.completed?.(blob)
  }

  async function work(): Promise<void> {
    for (let blob = queue.shift(); blob !== undefined && !signal.aborted; blob = queue.shift()) {
      try {
        await bring(blob)
      } catch (cause) {
        if (signal.aborted) return
        const error = toImageError(cause)
        errors.push(error)
        // What can't be had at all makes the rest of this image worthless; what may come later does not.
        if (!error.transient) giveUp.abort(error)
      }
    }
  }

  await Promise.all(Array.from({ length: Math.min(width, queue.length) }, work))
  options.signal.throwIfAborted()
  const closed = errors.find(error => error instanceof LinkClosed)
  const verdict = errors.find(error => !error.transient) ?? closed ?? errors[0]
  if (verdict) throw verdict
  return [...notes]
}

/** Puts the manifests into the target's repository, in their order. @throws ImageError `LOCAL_REFUSED` where the registry won't have one. */
export async function putManifests(image: ResolvedImage, local: LocalRegistry, signal: AbortSignal): Promise<void> {
  const { repository } = image.request.target
  for (const descriptor of image.manifests) {
    const raw = await local.findManifest(repository, descriptor.digest, signal)
    if (!raw) throw lostManifest(descriptor)
    await local.putManifest(repository, { ...raw, descriptor }, signal)
  }
}

function lostManifest(descriptor: Descriptor): ImageError {
  return new ImageError('LOCAL_REGISTRY', `the manifest ${descriptor.digest} was here a moment ago and is gone`, {
    side: 'local',
  })
}
