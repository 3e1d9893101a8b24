/**
 * Versions as tags write them, their order, and ranges of them. semver.org 2.0.0; ranges in the manner of npm (`^1.2`, `~1.2.3`,
 * `1.x`, `>=1.2 <2 || 3.0.0`, `1.2 - 1.4`). Used by tag patterns and wherever versions are put in order.
 */

export interface Version {
  readonly major: number
  readonly minor: number
  readonly patch: number
  /** Identifiers after `-`; empty for a release. */
  readonly prerelease: readonly string[]
}

const number = '(0|[1-9]\\d{0,14})'
const suffix = '(?:-([0-9A-Za-z.-]+))?(?:[+_][0-9A-Za-z.-]+)?'
const versionPattern = new RegExp(`^v?${number}\\.${number}(?:\\.${number})?${suffix}$`)
const partial = `v?(${'0|[1-9]\\d{0,14}'}|[xX*])(?:\\.(0|[1-9]\\d{0,14}|[xX*])(?:\\.(0|[1-9]\\d{0,14}|[xX*])${suffix})?)?`
const comparatorPattern = new RegExp(`^(\\^|~|>=|<=|>|<|=)?\\s*${partial}$`)

/** A tag as a version: `1.27.0`, `v1.27.0-rc.1`, and `1.27` as 1.27.0. Undefined for any other, `1` and dates among them. */
export function parseVersion(text: string): Version | undefined {
  const parts = text.length > 128 ? null : versionPattern.exec(text)
  if (parts === null) return undefined
  const [, major, minor, patch = '0', prerelease] = parts
  const identifiers = prerelease === undefined ? [] : prerelease.split('.')
  if (identifiers.includes('')) return undefined
  return { major: Number(major), minor: Number(minor), patch: Number(patch), prerelease: identifiers }
}

/** Negative when `a` comes before `b`. semver.org, 11. */
export function compareVersions(a: Version, b: Version): number {
  const core = a.major - b.major || a.minor - b.minor || a.patch - b.patch
  if (core !== 0) return core
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length
  for (const [at, left] of a.prerelease.entries()) {
    const right = b.prerelease[at]
    if (right === undefined) return 1
    const order = compareIdentifiers(left, right)
    if (order !== 0) return order
  }
  return a.prerelease.length - b.prerelease.length
}

/** Whether a version is in a range. Prereleases are in it only where the range names one of the same version. */
export type VersionRange = (version: Version) => boolean

/** Undefined for a text that is no range. */
export function parseRange(text: string): VersionRange | undefined {
  if (text.length > 256 || text.trim() === '') return undefined
  const alternatives = text.split('||').map(part => parseAll(part.trim()))
  if (alternatives.some(one => one === undefined)) return undefined
  return version => alternatives.some(bounds => bounds !== undefined && isWithin(version, bounds))
}

/** One side of a range. */
interface Bound {
  readonly operator: '>=' | '>' | '<' | '<='
  readonly version: Version
}

function isWithin(version: Version, bounds: readonly Bound[]): boolean {
  const fits = bounds.every(({ operator, version: limit }) => {
    const order = compareVersions(version, limit)
    if (operator === '>=') return order >= 0
    if (operator === '>') return order > 0
    return operator === '<' ? order < 0 : order <= 0
  })
  if (!fits || version.prerelease.length === 0) return fits
  return bounds.some(({ version: limit }) => limit.prerelease.length > 0 && isSameRelease(limit, version))
}

function isSameRelease(a: Version, b: Version): boolean {
  return a.major === b.major && a.minor === b.minor && a.patch === b.patch
}

function parseAll(text: string): readonly Bound[] | undefined {
  const hyphen = /^(\S+)\s+-\s+(\S+)$/.exec(text)
  const words = hyphen
    ? [`>=${hyphen[1]}`, `<=${hyphen[2]}`]
    : text.replace(/(\^|~|>=|<=|>|<|=)\s+/g, '$1').split(/\s+/)
  const bounds = words.map(parseComparator)
  return bounds.some(one => one === undefined) ? undefined : bounds.flatMap(one => one ?? [])
}

function parseComparator(text: string): readonly Bound[] | undefined {
  const parts = comparatorPattern.exec(text)
  if (parts === null) return undefined
  const [, operator = '', ...numbers] = parts
  const [major, minor, patch] = numbers
    .slice(0, 3)
    .map(part => (part === undefined || /[xX*]/.test(part) ? undefined : Number(part)))
  const low = { major: major ?? 0, minor: minor ?? 0, patch: patch ?? 0, prerelease: numbers[3]?.split('.') ?? [] }
  const given = { low, major, minor, patch }
  switch (operator) {
    case '^':
      return between(low, caretEnd(given))
    case '~':
      return between(low, endOf(given, minor === undefined ? 'major' : 'minor'))
    case '>=':
      return [{ operator: '>=', version: low }]
    case '<':
      return [{ operator: '<', version: low }]
    case '>':
      return patch === undefined ? afterAll(endOf(given, 'given')) : [{ operator: '>', version: low }]
    case '<=':
      return patch === undefined ? before(endOf(given, 'given')) : [{ operator: '<=', version: low }]
    default:
      return patch === undefined
        ? between(low, endOf(given, 'given'))
        : [
            { operator: '>=', version: low },
            { operator: '<=', version: low },
          ]
  }
}

interface Given {
  readonly low: Version
  readonly major: number | undefined
  readonly minor: number | undefined
  readonly patch: number | undefined
}

/** The first version that is no longer in it; undefined where there is none. */
function endOf({ low, major, minor }: Given, width: 'major' | 'minor' | 'given'): Version | undefined {
  if (major === undefined) return undefined
  if (width === 'major' || minor === undefined) return release(low.major + 1, 0, 0)
  return release(low.major, low.minor + 1, 0)
}

/** `^` keeps the first number that is not 0. */
function caretEnd({ low, major, minor, patch }: Given): Version | undefined {
  if (major === undefined) return undefined
  if (low.major > 0 || minor === undefined) return release(low.major + 1, 0, 0)
  if (low.minor > 0 || patch === undefined) return release(0, low.minor + 1, 0)
  return release(0, 0, low.patch + 1)
}

function between(low: Version, end: Version | undefined): readonly Bound[] {
  return [{ operator: '>=', version: low }, ...before(end)]
}

function before(end: Version | undefined): readonly Bound[] {
  return end === undefined ? [] : [{ operator: '<', version: end }]
}

function afterAll(end: Version | undefined): readonly Bound[] {
  // Nothing comes after every version.
  return [end === undefined ? { operator: '<', version: release(0, 0, 0) } : { operator: '>=', version: end }]
}

function release(major: number, minor: number, patch: number): Version {
  return { major, minor, patch, prerelease: [] }
}

function compareIdentifiers(a: string, b: string): number {
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (left && right) return Number(a) - Number(b)
  if (left !== right) return left ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}
