/**
 * From a reference to everything that has to be here: the tree of manifests, their blobs, their referrers.
 * Costs no upstream request for a pinned digest whose content is here, one HEAD for a tag.
 */
import { ImageError } from '../oci/errors.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import { formatReference } from '../oci/reference.ts'
import type { ImageRequest, ResolvedImage } from './engine.ts'
import type { ManifestReader } from './manifest-reader.ts'
import { findReferrers, type ReferrerMemory } from './referrers.ts'
import { type Gathered, gatherTree, type Walk } from './tree.ts'

/**
 * Asks upstream what the reference is now, and gathers what it needs.
 * @throws ImageError that of the source, `PLATFORM_UNAVAILABLE`, `MANIFEST_INVALID`, `UNSUPPORTED`.
 */
export async function resolveImage(reader: ManifestReader, referrers: ReferrerMemory): Promise<ResolvedImage> {
  const { request } = reader
  const digest = request.source.digest ?? (await reader.resolveTag(request.source.tag ?? 'latest'))
  const gathered: Gathered = { manifests: new Map(), blobs: new Map(), notes: new Set() }
  const walk: Walk = { reader, gathered, platforms: request.platforms, served: new Set(), offered: new Set() }
  const root = await reader.read(digest)
  await gatherTree(walk, root, 0)
  checkPlatforms(walk, request)
  const extraTags = request.referrers ? await findReferrers(walk, root.descriptor, referrers) : []
  const contents = [...gathered.manifests.values(), ...gathered.blobs.values()]
  return {
    request,
    root: root.descriptor,
    manifests: [...gathered.manifests.values()],
    blobs: [...gathered.blobs.values()],
    fetched: reader.fetched,
    extraTags,
    bytesTotal: contents.reduce((sum, content) => sum + content.size, 0),
    notes: [...gathered.notes, ...reader.notes],
  }
}

/** A wanted platform that nothing serves is an error where the plan asks for it, a note where the edge merely could run it. */
function checkPlatforms(walk: Walk, request: ImageRequest): void {
  if (walk.platforms === 'all' || walk.offered.size === 0) return
  const missing = walk.platforms
    .map((platform: Platform) => formatPlatform(platform))
    .filter(name => !walk.served.has(name))
  if (missing.length === 0) return
  const offer = [...walk.offered].join(', ')
  if (walk.served.size > 0 && request.anyPlatform) {
    walk.gathered.notes.add(`not offered for ${missing.join(', ')}, only for ${offer}`)
    return
  }
  const message = `${formatReference(request.source)} is not offered for ${missing.join(', ')}; it is offered for ${offer}`
  throw new ImageError('PLATFORM_UNAVAILABLE', message, {
    side: 'upstream',
    doing: `resolve ${formatReference(request.source)}`,
  })
}
