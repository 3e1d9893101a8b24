/**
 * What to do when an external registry refuses an index because the manifests of other platforms are absent (docker-registry does).
 * The configuration decides, and a note tells; digests and media types are never rewritten.
 */
import { ImageError, toImageError } from '../oci/errors.ts'
import { isIndexType } from '../oci/media-types.ts'
import type { ImageRequest, ResolvedImage } from './engine.ts'

/** `complete`: bring the other platforms, too. `platform`: the tag points at the one wanted manifest. `fail`: report it. */
export type SparseIndexes = 'complete' | 'platform' | 'fail'

/**
 * The image as the registry may take it instead.
 * @throws the error itself where it is about something else, or where nothing else may be done.
 */
export async function withoutSparseIndex(
  image: ResolvedImage,
  error: unknown,
  choice: SparseIndexes,
  resolve: (request: ImageRequest) => Promise<ResolvedImage>,
): Promise<ResolvedImage> {
  const { code } = toImageError(error)
  const wasFiltered = isIndexType(image.root.mediaType) && image.request.platforms !== 'all'
  if (code !== 'LOCAL_REFUSED' || !wasFiltered || choice === 'fail') throw error
  return choice === 'complete' ? await complete(image, resolve) : singlePlatform(image, error)
}

async function complete(
  image: ResolvedImage,
  resolve: (request: ImageRequest) => Promise<ResolvedImage>,
): Promise<ResolvedImage> {
  const { request, root } = image
  const whole = await resolve({ ...request, source: { ...request.source, digest: root.digest }, platforms: 'all' })
  const added = whole.bytesTotal - image.bytesTotal
  const note = `the local registry refuses an index without its other platforms: they were brought, too (${added} bytes more)`
  return { ...whole, request, notes: [...whole.notes, note] }
}

function singlePlatform(image: ResolvedImage, cause: unknown): ResolvedImage {
  const images = image.manifests.filter(manifest => manifest.platform !== undefined && !isIndexType(manifest.mediaType))
  const [only, ...others] = images
  if (!only || others.length > 0) {
    const message = `the local registry refuses the index without its other platforms, and ${images.length} platforms are wanted, not one`
    throw new ImageError('LOCAL_REFUSED', message, { cause, side: 'local', doing: 'put the index' })
  }
  const note = `the local registry refuses an index without its other platforms: the tag points at ${only.digest} instead of ${image.root.digest}`
  return {
    ...image,
    root: only,
    manifests: image.manifests.filter(manifest => !isIndexType(manifest.mediaType)),
    notes: [...image.notes, note],
  }
}
