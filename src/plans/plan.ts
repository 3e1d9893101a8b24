/** What a plan means: its document read into requests for the engine, or everything that is wrong with it. Used by the intake and by runs. */

import { parseDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import type { TrustedKey } from '../oci/jws.ts'
import { type Platform, type PlatformFilter, parsePlatform } from '../oci/platform.ts'
import { leastRate, parseRate } from '../oci/quantities.ts'
import {
  formatTarget,
  parseReference,
  parseRepositoryReference,
  parseTarget,
  type Reference,
  type Target,
} from '../oci/reference.ts'
import { isTimezone, readWindow, type TimeWindow, type WindowText } from '../oci/time-window.ts'
import type { ImageRequest } from '../transfer/engine.ts'
import type { PlanLimits } from '../transfer/link/pass.ts'
import { readPayload } from './payload.ts'
import { isPackageInfo, isPlanDocument, limitProblems, listFormProblems, listMisfits } from './problems.ts'
import { type PackageInfo, type PlanDocument, planNamePattern } from './schema.ts'
import { type SoundSpec, soundSpec } from './sound-parts.ts'
import type { RejectedReason } from './status.ts'
import { readSwImageDesc } from './sw-image-desc.ts'

/** A plan that can be run. */
export interface Plan {
  readonly name: string
  readonly revision: number
  /** Epoch milliseconds, as the next. */
  readonly issuedAt: number
  readonly notAfter: number | undefined
  /** When everything has to be here. */
  readonly readyBy?: number
  readonly images: readonly ImageRequest[]
  readonly remove: readonly Target[]
  readonly atomic: boolean
  readonly priority: number
  /** What it says about the link: its own windows, its own rate. */
  readonly limits: PlanLimits
  readonly package: PackageInfo | undefined
  readonly withdrawn: boolean
  /** What was left out on purpose, for the operator. */
  readonly notes: readonly string[]
}

export type PlanReading =
  | { readonly kind: 'plan'; readonly plan: Plan; readonly document: PlanDocument }
  | {
      readonly kind: 'refused'
      readonly reason: RejectedReason
      readonly problems: readonly string[]
      /** As far as they can be made out. */
      readonly name: string | undefined
      readonly revision: number | undefined
      readonly package: PackageInfo | undefined
    }

export interface PlanContext {
  /** What images without `platforms` are wanted for. */
  readonly platforms: readonly Platform[]
  /** Whose signatures are trusted; with any, plans have to be signed. */
  readonly keys?: readonly TrustedKey[]
  /** The topic's last level, which the plan's name has to be. */
  readonly topicName?: string
}

const namePattern = new RegExp(planNamePattern)

/** Whether a text can be a plan's name. */
export function isPlanName(text: string): boolean {
  return namePattern.test(text)
}

/** Reads a payload. Every problem is listed at once; nothing is thrown. */
export function readPlan(bytes: Uint8Array, context: PlanContext): PlanReading {
  const payload = readPayload(bytes, context.keys ?? [])
  if (payload.kind === 'refused') return refused(payload.reason, [payload.problem], undefined)
  const document = payload.value
  const problems = [...listFormProblems(document)]
  const name = peek(document, 'name')
  if (context.topicName !== undefined && typeof name === 'string' && name !== context.topicName) {
    problems.push(`metadata.name: "${clip(name)}" is not the last level of its topic, "${clip(context.topicName)}"`)
  }
  if (!isPlanDocument(document)) {
    const sound = soundSpec(document, listMisfits(document))
    if (sound !== undefined) readSpec(sound, context.platforms, problems)
    return refused('Invalid', problems, document)
  }
  const { plan, problems: meant } = interpret(document, context.platforms)
  problems.push(...meant)
  if (problems.length > 0) return refused('Invalid', problems, document)
  const contradiction = hopelessDeadline(document, plan)
  return contradiction === undefined
    ? { kind: 'plan', plan, document }
    : refused('Infeasible', [contradiction], document)
}

/**
 * The one deadline that nobody can ever keep: one that had passed when the plan was issued. One that has passed since does not keep a
 * plan out: late is better than never, `notAfter` says where it is not, and what is missing is not known before its manifests are.
 */
function hopelessDeadline({ spec, metadata }: PlanDocument, { readyBy, issuedAt }: Plan): string | undefined {
  if (readyBy === undefined || readyBy >= issuedAt) return undefined
  return `spec.readyBy: ${spec.readyBy} had passed when the plan was issued, at ${metadata.issuedAt}`
}

/** The meaning of a document that has the form of a plan, and what is wrong with it. */
export function interpret(document: PlanDocument, platforms: readonly Platform[]): { plan: Plan; problems: string[] } {
  const { metadata, spec } = document
  const problems: string[] = []
  const meant = readSpec(spec, platforms, problems)
  const plan: Plan = {
    name: metadata.name,
    revision: metadata.revision,
    issuedAt: readTime(metadata.issuedAt, 'metadata.issuedAt', problems),
    notAfter: metadata.notAfter === undefined ? undefined : readTime(metadata.notAfter, 'metadata.notAfter', problems),
    ...(spec.readyBy === undefined ? {} : { readyBy: readTime(spec.readyBy, 'spec.readyBy', problems) }),
    ...meant,
    atomic: spec.atomic ?? true,
    priority: spec.priority ?? 50,
    package: spec.package,
    withdrawn: spec.withdrawn ?? false,
  }
  return { plan, problems }
}

/** What is said in words of their own: references, targets, windows, rates. */
function readSpec(
  spec: SoundSpec,
  platforms: readonly Platform[],
  problems: string[],
): Pick<Plan, 'images' | 'notes' | 'remove' | 'limits'> {
  const { images, notes } = readImages(spec, platforms, problems)
  const remove = (spec.remove ?? []).flatMap((text, at) =>
    text === null ? [] : attempt(`spec.remove[${at}]`, problems, () => readRemoval(text)),
  )
  checkTargets(images, remove, problems)
  return { images, notes, remove, limits: readLimits(spec, problems) }
}

function readImages(spec: SoundSpec, platforms: readonly Platform[], problems: string[]) {
  const { images, swImageDesc, remove, withdrawn } = spec
  if (images && swImageDesc) problems.push('spec: expected either images or swImageDesc, got both')
  else if (!images && !swImageDesc && !withdrawn) problems.push('spec: expected images or swImageDesc, got neither')
  else if (images?.length === 0 && !remove?.length && !withdrawn) {
    problems.push('spec.images: expected at least one image, or something to remove')
  }
  if (swImageDesc) {
    const read = readSwImageDesc(swImageDesc)
    problems.push(...read.problems.map(withoutCredentials))
    return {
      images: read.images.map(image => request(image.source, image.platforms ?? platforms, !image.platforms)),
      notes: read.notes.map(withoutCredentials),
    }
  }
  return {
    images: (images ?? []).flatMap((image, at) => {
      return image === null ? [] : readImage(image, `spec.images[${at}]`, platforms, problems)
    }),
    notes: [],
  }
}

type SoundImage = NonNullable<NonNullable<SoundSpec['images']>[number]>

function readImage(
  image: SoundImage,
  path: string,
  platforms: readonly Platform[],
  problems: string[],
): ImageRequest[] {
  const [source] =
    image.source === undefined ? [] : attempt(`${path}.source`, problems, () => parseReference(image.source ?? ''))
  const [pinned] = attempt(`${path}.digest`, problems, () => pin(source, image.digest))
  const [target] =
    image.target === undefined ? [] : attempt(`${path}.target`, problems, () => parseTarget(image.target ?? ''))
  const mirrors = (image.mirrors ?? []).flatMap((text, at) =>
    attempt(`${path}.mirrors[${at}]`, problems, () => parseRepositoryReference(text)),
  )
  const [filter] = attempt(`${path}.platforms`, problems, () => readPlatforms(image.platforms, platforms))
  if (!pinned || !filter) return []
  return [
    {
      ...request(pinned, filter, image.platforms === undefined),
      ...(target ? { target: withTag(target, pinned) } : {}),
      mirrors,
      referrers: image.referrers ?? true,
    },
  ]
}

/** @param anyPlatform whether the platforms are the edge's own, of which one is enough. */
function request(source: Reference, platforms: PlatformFilter, anyPlatform: boolean): ImageRequest {
  const target = withTag({ repository: source.repository }, source)
  return { source, target, mirrors: [], platforms, anyPlatform, referrers: true }
}

/** A target without a tag takes the source's; where that has none either, the content is kept by digest alone. */
function withTag(target: Target, source: Reference): Target {
  return target.tag !== undefined || source.tag === undefined ? target : { ...target, tag: source.tag }
}

/** @throws ImageError `DIGEST_INVALID` when the pin is no digest, or not the one that the source names. */
function pin(source: Reference | undefined, text: string | undefined): Reference | undefined {
  if (text === undefined) return source
  const digest = parseDigest(text)
  if (source?.digest !== undefined && source.digest !== digest) {
    throw new ImageError('DIGEST_INVALID', `contradicts the digest in the source, ${source.digest}`)
  }
  return source && { ...source, digest }
}

function readPlatforms(texts: readonly string[] | undefined, platforms: readonly Platform[]): PlatformFilter {
  if (texts === undefined) return platforms
  if (!texts.includes('all')) return texts.map(parsePlatform)
  if (texts.length > 1) throw new ImageError('PLATFORM_UNAVAILABLE', '"all" stands alone')
  return 'all'
}

function readRemoval(text: string): Target {
  const target = parseTarget(text)
  if (target.tag === undefined)
    throw new ImageError('TAG_INVALID', `"${clip(text)}" has no tag: expected repository:tag`)
  return target
}

/** Two images under one name, or one that is to be put and removed: which is meant can't be known. */
function checkTargets(images: readonly ImageRequest[], remove: readonly Target[], problems: string[]): void {
  const seen = new Set<string>()
  for (const { target, source } of images) {
    const key = target.tag === undefined ? `${target.repository}@${source.digest}` : formatTarget(target)
    if (seen.has(key)) problems.push(`spec: two images have the target ${key}`)
    seen.add(key)
  }
  for (const target of remove) {
    if (seen.has(formatTarget(target)))
      problems.push(`spec.remove: ${formatTarget(target)} is a target of this plan, too`)
  }
}

function readLimits({ window, maxRate }: SoundSpec, problems: string[]): PlanLimits {
  const texts = window === undefined ? [] : Array.isArray(window) ? window : [window]
  const windows = texts.flatMap((text, at) => {
    return readOwnWindow(text, Array.isArray(window) ? `spec.window[${at}]` : 'spec.window', problems)
  })
  const rate = maxRate === undefined ? undefined : parseRate(maxRate)
  if (maxRate !== undefined && (rate === undefined || rate < leastRate)) {
    problems.push(`spec.maxRate: expected a rate of at least 1kbit, such as 20Mbit or 2.5MB, got "${clip(maxRate)}"`)
  }
  return { ...(window === undefined ? {} : { windows }), ...(rate === undefined ? {} : { maxRate: rate }) }
}

function readOwnWindow(text: WindowText, path: string, problems: string[]): TimeWindow[] {
  if (text.timezone === undefined || isTimezone(text.timezone)) return [readWindow(text)]
  problems.push(`${path}.timezone: expected an IANA name such as Asia/Shanghai, got "${clip(text.timezone)}"`)
  return []
}

/** Epoch milliseconds. A leap second has the form of a time, but JavaScript has no number for it. */
function readTime(text: string, path: string, problems: string[]): number {
  const time = Date.parse(text)
  if (!Number.isNaN(time)) return time
  problems.push(`${path}: expected a time such as 2026-11-21T08:00:00Z`)
  return 0
}

/** The value, or nothing and a problem. */
function attempt<T>(path: string, problems: string[], read: () => T): [T] | [] {
  try {
    return [read()]
  } catch (error) {
    if (!(error instanceof ImageError)) throw error
    problems.push(`${path}: ${withoutCredentials(error.message)}`)
    return []
  }
}

function refused(reason: RejectedReason, problems: readonly string[], document: unknown): PlanReading {
  const name = peek(document, 'name')
  const revision = peek(document, 'revision')
  return {
    kind: 'refused',
    reason,
    problems: limitProblems(problems),
    name: typeof name === 'string' && isPlanName(name) ? name : undefined,
    revision: typeof revision === 'number' && Number.isSafeInteger(revision) ? revision : undefined,
    package: peekPackage(document),
  }
}

/** A field of the metadata of a document that may be anything. */
function peek(document: unknown, key: 'name' | 'revision'): unknown {
  if (typeof document !== 'object' || document === null || !('metadata' in document)) return undefined
  const { metadata } = document
  if (typeof metadata !== 'object' || metadata === null) return undefined
  return Object.entries(metadata).find(([name]) => name === key)?.[1]
}

/** The package that a document names, be the rest of it valid or not. */
function peekPackage(document: unknown): PackageInfo | undefined {
  if (typeof document !== 'object' || document === null || !('spec' in document)) return undefined
  const { spec } = document
  if (typeof spec !== 'object' || spec === null || !('package' in spec)) return undefined
  return isPackageInfo(spec.package) ? spec.package : undefined
}

/** `user:secret@` out of a text that is repeated to others. A tag before `@sha256:` stays. */
function withoutCredentials(text: string): string {
  return text.replace(/[^\s"/@]+:[^\s"/@]*@(?!sha(?:256|512):)/g, '…@')
}

function clip(text: string): string {
  return text.length > 128 ? `${text.slice(0, 128)}…` : text
}
