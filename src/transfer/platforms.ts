/** Which manifests of an index a site needs. OCI image-spec, image-index.md; the index itself is kept byte for byte. */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { isIndexType } from '../oci/media-types.ts'
import { formatPlatform, type Platform, type PlatformFilter, platformMatches } from '../oci/platform.ts'

export interface PlatformChoice {
  /** The entries to bring, in the index's order. */
  readonly chosen: readonly Descriptor[]
  /** What the index offers, for the message when something is missing. */
  readonly offered: readonly string[]
  /** The wanted platforms that some entry serves. */
  readonly served: readonly Platform[]
}

/** BuildKit marks an attestation for a manifest of the same index so. */
const attestedDigest = 'vnd.docker.reference.digest'

/**
 * Chooses among the entries of an index. Entries without a platform, and nested indexes, are always taken: the filter applies inside them.
 * Attestations come along with the manifest that they speak of, where referrers are wanted.
 */
export function choosePlatforms(
  entries: readonly Descriptor[],
  wanted: PlatformFilter,
  referrers: boolean,
): PlatformChoice {
  const images = entries.filter(isPlatformEntry)
  const offered = [...new Set(images.map(entry => formatPlatform(platformOf(entry))))]
  const chosen = new Set(
    wanted === 'all' ? entries : entries.filter(entry => !isPlatformEntry(entry) && !isAttestation(entry)),
  )
  const served: Platform[] = []
  for (const platform of wanted === 'all' ? [] : wanted) {
    const matching = bestMatches(platform, images)
    if (matching.length > 0) served.push(platform)
    for (const entry of matching) chosen.add(entry)
  }
  if (referrers && wanted !== 'all') {
    const digests = new Set<Digest | string>([...chosen].map(entry => entry.digest))
    for (const entry of entries) if (digests.has(entry.annotations?.[attestedDigest] ?? '')) chosen.add(entry)
  }
  return { chosen: entries.filter(entry => chosen.has(entry)), offered, served }
}

function isAttestation(entry: Descriptor): boolean {
  return entry.annotations?.[attestedDigest] !== undefined
}

/** Whether the entry is meant for one kind of machine only. */
function isPlatformEntry(entry: Descriptor): boolean {
  return (
    entry.platform !== undefined &&
    entry.platform.os !== 'unknown' &&
    !isIndexType(entry.mediaType) &&
    !isAttestation(entry)
  )
}

function platformOf(entry: Descriptor): Platform {
  return entry.platform ?? { os: 'unknown', architecture: 'unknown' }
}

/** The entries that serve a platform best: the exact variant, else the generic one, else (32-bit ARM) the highest lower one, else all. */
function bestMatches(wanted: Platform, entries: readonly Descriptor[]): readonly Descriptor[] {
  const matching = entries.filter(entry => platformMatches(wanted, platformOf(entry)))
  const exact = matching.filter(entry => variantOf(platformOf(entry)) === variantOf(wanted))
  if (exact.length > 0) return exact
  if (matching.length > 0 || wanted.architecture !== 'arm') return matching
  const lower = entries
    .filter(entry => platformMatches({ os: wanted.os, architecture: 'arm' }, platformOf(entry)))
    .filter(entry => variantOf(platformOf(entry)) < variantOf(wanted))
    .sort((a, b) => (variantOf(platformOf(a)) < variantOf(platformOf(b)) ? 1 : -1))
  return lower.slice(0, 1)
}

function variantOf(platform: Platform): string {
  const isBaseline = platform.architecture === 'arm64' && platform.variant === 'v8'
  return isBaseline ? '' : (platform.variant ?? '')
}
