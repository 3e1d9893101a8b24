/**
 * What a cleanup policy says of every image, with the reason in a sentence. Pure: dry runs and runs ask the same question.
 * An image goes when nobody holds it, it is not excluded, and no rule of the policy keeps it: neither `keepRecent` nor `unusedDays`.
 * Contract: "ImageCleanupPolicy".
 */
import type { ImageCleanupPolicyInput } from '../documents.ts'
import { compareVersions, parseVersion, type Version } from '../semver.ts'
import { matchesGlob } from './glob.ts'
import type { LocalImage } from './shelf.ts'

export type CleanupSpec = ImageCleanupPolicyInput['spec']

export interface Verdict {
  readonly image: LocalImage
  readonly action: 'keep' | 'remove'
  readonly reason: string
}

export interface Question {
  readonly spec: CleanupSpec
  /** The policy's own namespace: what it speaks for unless it names others. */
  readonly namespace: string
  /** Namespaces that a path belongs to. */
  readonly namespacesOf: (repository: string) => readonly string[]
  /** Who wants the image, or nobody. */
  readonly holderOf: (image: LocalImage) => string | undefined
  /** Epoch milliseconds. */
  readonly now: number
}

/** Namespaces that a policy speaks for: its own where it names none. Whoever creates or runs it needs the right in each. */
export function policyNamespaces(spec: CleanupSpec, own: string): readonly string[] {
  return spec.namespaces !== undefined && spec.namespaces.length > 0 ? spec.namespaces : [own]
}

const dayMs = 24 * 60 * 60_000

/** A verdict for every image, in the order of paths, the newest version of each first. */
export function decide(images: readonly LocalImage[], question: Question): Verdict[] {
  const byPath = new Map<string, LocalImage[]>()
  for (const image of images) {
    const known = byPath.get(image.repository)
    if (known) known.push(image)
    else byPath.set(image.repository, [image])
  }
  const excluded = excluder(question.spec)
  return [...byPath].flatMap(([repository, ofPath]) => decidePath(repository, ofPath, question, excluded))
}

function decidePath(
  repository: string,
  images: readonly LocalImage[],
  question: Question,
  excluded: (image: LocalImage) => boolean,
): Verdict[] {
  const outside = namespaceOutside(repository, question)
  if (outside !== undefined) {
    const reason = `its path belongs to the namespace ${outside}, which the policy does not name`
    return images.map(image => ({ image, action: 'keep', reason }))
  }
  const { versions, order } = orderVersions(images.filter(image => subjectOf(image.tag) === undefined))
  const verdicts = versions.map((image, at) => {
    const rank = { place: at + 1, of: versions.length, order }
    const kept = whyKept(image, rank, question, excluded)
    return {
      image,
      action: kept === undefined ? 'remove' : 'keep',
      reason: kept ?? whyRemoved(image, rank, question),
    } as const
  })
  const companions = images.filter(image => subjectOf(image.tag) !== undefined)
  return [...verdicts, ...companions.map(image => decideCompanion(image, verdicts, question, excluded))]
}

/** A namespace of the path that the policy doesn't speak for. */
function namespaceOutside(repository: string, { spec, namespace, namespacesOf }: Question): string | undefined {
  const covered = new Set(policyNamespaces(spec, namespace))
  return namespacesOf(repository).find(one => !covered.has(one))
}

interface Rank {
  readonly place: number
  readonly of: number
  readonly order: 'by version' | 'by date'
}

function whyKept(
  image: LocalImage,
  { place, of, order }: Rank,
  { spec, holderOf, now }: Question,
  excluded: (image: LocalImage) => boolean,
): string | undefined {
  const holder = holderOf(image)
  if (holder !== undefined) return `${holder} wants it`
  if (excluded(image)) return 'the policy excludes it'
  const { keepRecent, unusedDays } = spec
  if (keepRecent !== undefined && place <= keepRecent) {
    return `one of the ${keepRecent} newest of its path (number ${place} of ${of} ${order})`
  }
  if (unusedDays === undefined) return undefined
  const days = daysSince(image.usedAt, now)
  return now - image.usedAt < unusedDays * dayMs ? `used ${ago(days)}, within ${unusedDays} days` : undefined
}

function whyRemoved(image: LocalImage, { place, of, order }: Rank, { spec, now }: Question): string {
  const { keepRecent, unusedDays } = spec
  const parts = [
    keepRecent === undefined
      ? []
      : [`not one of the ${keepRecent} newest of its path (number ${place} of ${of} ${order})`],
    unusedDays === undefined ? [] : [`last used ${ago(daysSince(image.usedAt, now))}, not within ${unusedDays} days`],
  ].flat()
  return `nobody wants it, and it is ${parts.join(' and ')}`
}

/** A signature's tag (`sha256-….sig`) stays and goes with the images of the digest in its name. */
function decideCompanion(
  image: LocalImage,
  verdicts: readonly Verdict[],
  { holderOf }: Question,
  excluded: (image: LocalImage) => boolean,
): Verdict {
  const subject = subjectOf(image.tag)
  const holder = holderOf(image)
  if (holder !== undefined) return { image, action: 'keep', reason: `${holder} wants it` }
  if (excluded(image)) return { image, action: 'keep', reason: 'the policy excludes it' }
  const related = verdicts.filter(verdict => verdict.image.digest === subject)
  const kept = related.find(verdict => verdict.action === 'keep')
  if (kept) return { image, action: 'keep', reason: `it belongs to ${kept.image.tag}, which stays` }
  if (related.length > 0)
    return { image, action: 'remove', reason: `it belongs to ${related[0]?.image.tag}, which goes` }
  const any = verdicts.some(verdict => verdict.action === 'keep')
  return any
    ? { image, action: 'keep', reason: 'it may belong to a part of an image of its path that stays' }
    : { image, action: 'remove', reason: 'nothing of its path stays' }
}

/** The digest that a tag names which belongs to other content: cosign's, and the referrers tag of the distribution specification. */
function subjectOf(tag: string): string | undefined {
  const parts = /^(sha256)-([0-9a-f]{64})(?:\.[a-z]+)?$/.exec(tag)
  return parts === null ? undefined : `${parts[1]}:${parts[2]}`
}

/** The newest first: as versions where every tag is one, else by the time at which each came to point where it does. */
function orderVersions(images: readonly LocalImage[]): { versions: LocalImage[]; order: Rank['order'] } {
  const parsed = new Map<LocalImage, Version>()
  for (const image of images) {
    const version = parseVersion(image.tag)
    if (version) parsed.set(image, version)
  }
  const byDate = (a: LocalImage, b: LocalImage) => b.updatedAt - a.updatedAt || (a.tag < b.tag ? 1 : -1)
  if (parsed.size < images.length) return { versions: [...images].sort(byDate), order: 'by date' }
  const versions = [...parsed].sort(([a, one], [b, other]) => compareVersions(other, one) || byDate(a, b))
  return { versions: versions.map(([image]) => image), order: 'by version' }
}

function excluder(spec: CleanupSpec): (image: LocalImage) => boolean {
  const rules = spec.exclude ?? []
  return image =>
    rules.some(({ name, tag = '*' }) => matchesGlob(name, image.repository) && matchesGlob(tag, image.tag))
}

function daysSince(time: number, now: number): number {
  return Math.max(0, Math.floor((now - time) / dayMs))
}

function ago(days: number): string {
  if (days === 0) return 'less than a day ago'
  return days === 1 ? '1 day ago' : `${days} days ago`
}
