/**
 * What refers to an image: signatures, SBOMs, attestations. By the referrers API, its tag schema, and cosign's tags.
 * OCI distribution-spec, "Listing Referrers"; cosign's tag scheme `sha256-<hex>.sig`, `.att`, `.sbom`.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { toImageError } from '../oci/errors.ts'
import { isManifestType } from '../oci/media-types.ts'
import { sideBySide } from '../oci/side-by-side.ts'
import type { ReferrerAnswer } from '../state/referrer-answers.ts'
import type { ResolvedImage } from './engine.ts'
import { gatherTree, maxManifests, type Walk } from './tree.ts'

/**
 * Remembers what upstream answered: content that is here is not asked about again, which is what makes a pinned image that is here cost no request.
 * A signature that is added upstream later comes with the next new digest.
 */
export interface ReferrerMemory {
  find(digest: Digest): ReferrerAnswer | undefined
  record(digest: Digest, found: ReferrerAnswer): void
}

/** A signature may be signed, and that signature again; then it ends. */
const maxRounds = 3
const cosignSuffixes = ['sig', 'att', 'sbom']
/** Answers that mean "not offered here", whatever the registry calls it. */
const absent = new Set([
  'MANIFEST_UNKNOWN',
  'NAME_UNKNOWN',
  'UNSUPPORTED',
  'DENIED',
  'UNAUTHORIZED',
  'TAG_INVALID',
  'NAME_INVALID',
])

/** Adds the referrers of everything gathered so far, and theirs. Gives the tags that come along. */
export async function findReferrers(
  walk: Walk,
  root: Descriptor,
  memory: ReferrerMemory,
): Promise<ResolvedImage['extraTags']> {
  const tags = new Map<string, Descriptor>()
  let subjects = [root, ...[...walk.gathered.manifests.values()].filter(manifest => manifest.digest !== root.digest)]
  for (let round = 0; round < maxRounds && subjects.length > 0; round++) {
    const before = new Set(walk.gathered.manifests.keys())
    const answers = await sideBySide(subjects, 4, subject => referrersOf(walk, subject.digest, memory))
    for (const found of answers) {
      for (const { tag, descriptor } of found.tags) tags.set(tag, descriptor)
      await gatherReferrers(walk, [...found.referrers, ...found.tags.map(each => each.descriptor)])
    }
    subjects = [...walk.gathered.manifests.values()].filter(manifest => !before.has(manifest.digest))
  }
  return [...tags].map(([tag, descriptor]) => ({ tag, descriptor }))
}

async function referrersOf(walk: Walk, digest: Digest, memory: ReferrerMemory): Promise<ReferrerAnswer> {
  const known = memory.find(digest)
  if (known) return known
  const [referrers, ...tags] = await Promise.all([
    listReferrers(walk, digest),
    ...cosignSuffixes.map(suffix => findTag(walk, `${algorithmOf(digest)}-${hexOf(digest)}.${suffix}`)),
  ])
  const found: ReferrerAnswer = { referrers, tags: tags.filter(tag => tag !== undefined) }
  memory.record(digest, found)
  return found
}

async function listReferrers(walk: Walk, digest: Digest): Promise<readonly Descriptor[]> {
  const { reader } = walk
  return await reader.ask(({ upstream, repository }, signal) =>
    orAbsent(upstream.listReferrers(repository, digest, signal), []),
  )
}

async function findTag(walk: Walk, tag: string): Promise<{ tag: string; descriptor: Descriptor } | undefined> {
  if (tag.length > 128) return undefined // a sha512 digest does not fit into a tag
  const { reader } = walk
  // "None" is an answer: the mirrors are not asked for a signature that the source does not have.
  const descriptor = await reader.ask(({ upstream, repository }, signal) =>
    orAbsent(upstream.resolve(repository, tag, signal), undefined),
  )
  return descriptor && { tag, descriptor }
}

async function gatherReferrers(walk: Walk, referrers: readonly Descriptor[]): Promise<void> {
  // A referrer is for every platform: the filter has been applied to what it speaks of.
  const whole: Walk = { ...walk, platforms: 'all' }
  for (const referrer of referrers) {
    if (!isManifestType(referrer.mediaType)) continue
    if (walk.reader.count >= maxManifests) {
      walk.gathered.notes.add(`more than ${maxManifests} manifests: further referrers were left out`)
      return
    }
    const node = await orAbsent(walk.reader.read(referrer.digest), undefined)
    if (node) await gatherTree(whole, node, 0)
    else walk.gathered.notes.add(`the referrer ${referrer.digest} is listed upstream but can not be had`)
  }
}

/** The answer, or `otherwise` where upstream says for good that there is none. Faults that may pass are thrown. */
async function orAbsent<T>(answer: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (absent.has(toImageError(error).code)) return otherwise
    throw error
  }
}
