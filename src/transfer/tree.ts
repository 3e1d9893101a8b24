/**
 * The tree of manifests below a root, children first. Used by resolve.ts for the image and by referrers.ts for what refers to it.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { isManifestType, isNonDistributable } from '../oci/media-types.ts'
import { formatPlatform, type PlatformFilter } from '../oci/platform.ts'
import { sideBySide } from '../oci/side-by-side.ts'
import type { ManifestReader, ReadManifest } from './manifest-reader.ts'
import { choosePlatforms } from './platforms.ts'

/** Indexes may list indexes; deeper than this is a mistake or an attack. */
const maxDepth = 6
/** All the manifests of one image, referrers included. */
export const maxManifests = 2_000

/** What was gathered so far: insertion order is the order in which manifests may be put. */
export interface Gathered {
  readonly manifests: Map<Digest, Descriptor>
  readonly blobs: Map<Digest, Descriptor>
  readonly notes: Set<string>
}

/** What a walk through a tree of manifests keeps in mind. */
export interface Walk {
  readonly reader: ManifestReader
  readonly gathered: Gathered
  readonly platforms: PlatformFilter
  /** The wanted platforms that were found, and all that were offered. */
  readonly served: Set<string>
  readonly offered: Set<string>
}

/** Adds a manifest and everything below it, children first. */
export async function gatherTree(walk: Walk, node: ReadManifest, depth: number): Promise<void> {
  const { gathered, reader } = walk
  if (gathered.manifests.has(node.descriptor.digest)) return
  if (depth > maxDepth) throw new ImageError('MANIFEST_INVALID', `indexes are nested deeper than ${maxDepth} levels`)
  if (node.manifest.kind === 'image') gatherBlobs(walk, node)
  else {
    const chosen = chooseChildren(walk, node.manifest.manifests)
    for (const child of chosen.filter(entry => !isManifestType(entry.mediaType)))
      gathered.blobs.set(child.digest, child)
    const children = chosen.filter(entry => isManifestType(entry.mediaType))
    if (reader.count + children.length > maxManifests) {
      throw new ImageError('MANIFEST_INVALID', `the image has more than ${maxManifests} manifests`)
    }
    const nodes = await sideBySide(children, 8, child => reader.read(child.digest, child))
    for (const child of nodes) await gatherTree(walk, child, depth + 1)
  }
  gathered.manifests.set(node.descriptor.digest, node.descriptor)
}

function gatherBlobs(walk: Walk, node: ReadManifest): void {
  if (node.manifest.kind !== 'image') return
  const { config, layers } = node.manifest
  for (const blob of config ? [config, ...layers] : layers) {
    if (isNonDistributable(blob.mediaType)) {
      walk.gathered.notes.add(
        `a layer of ${node.descriptor.digest} may not be copied (${blob.mediaType}) and was left out`,
      )
    } else walk.gathered.blobs.set(blob.digest, blob)
  }
}

function chooseChildren(walk: Walk, entries: readonly Descriptor[]): readonly Descriptor[] {
  const choice = choosePlatforms(entries, walk.platforms, walk.reader.request.referrers)
  for (const platform of choice.served) walk.served.add(formatPlatform(platform))
  for (const platform of choice.offered) walk.offered.add(platform)
  return choice.chosen
}
