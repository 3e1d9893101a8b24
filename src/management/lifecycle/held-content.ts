/**
 * What collection must leave alone for plans and Repositories: the manifests that they name, and what of them has only been kept so far
 * (a plan that waits for its link has half of its image on disk and in no repository). Used by cleanup.ts.
 */

import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { childrenOf, type Manifest, parseManifest, type RawManifest } from '../../oci/manifest.ts'
import type { HeldContent } from '../../store/collect.ts'
import { heldManifests } from './hold-index.ts'
import type { Hold } from './shelf.ts'

/** Where manifests are looked up. The store and the engine's memory of referrers have this shape. */
export interface ContentLookup {
  findManifest(repository: string, digest: Digest): Descriptor | undefined
  readManifest(digest: Digest): Promise<RawManifest | undefined>
  /** What upstream said refers to the manifest; nothing where it was not asked. */
  referrersOf(digest: Digest): readonly Digest[]
}

/** Gathers it. Costs two look-ups for each image that is in place, and reads only what is not. */
export async function findHeldContent(
  holds: readonly Hold[],
  lookup: ContentLookup,
  signal: AbortSignal,
): Promise<HeldContent> {
  const kept = new Set<Digest>()
  for (const { repository, digest } of holds) {
    signal.throwIfAborted()
    if (digest === null || !isDigest(digest)) continue
    if (lookup.findManifest(repository, digest) === undefined) await keepTree(digest, kept, lookup)
    // The image is in its place; what signs it may still be on its way.
    else await keepReferrers(repository, digest, kept, lookup)
  }
  return { manifests: heldManifests(holds), kept }
}

async function keepReferrers(repository: string, digest: Digest, kept: Set<Digest>, lookup: ContentLookup) {
  for (const referrer of lookup.referrersOf(digest)) {
    if (lookup.findManifest(repository, referrer) === undefined) await keepTree(referrer, kept, lookup)
  }
}

/** Everything below a manifest, as far as it is here. */
async function keepTree(root: Digest, kept: Set<Digest>, lookup: ContentLookup): Promise<void> {
  const ahead = [root]
  for (let digest = ahead.pop(); digest !== undefined; digest = ahead.pop()) {
    if (kept.has(digest)) continue
    kept.add(digest)
    ahead.push(...lookup.referrersOf(digest))
    const raw = await lookup.readManifest(digest)
    const manifest = raw && tryParse(raw)
    if (manifest) ahead.push(...childrenOf(manifest).map(child => child.digest))
  }
}

function tryParse(raw: RawManifest): Manifest | undefined {
  try {
    return parseManifest(raw.bytes, raw.descriptor.mediaType)
  } catch {
    return undefined // a config or a layer
  }
}
