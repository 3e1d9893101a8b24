/** `spec.tagPattern` of a Repository: which of a path's tags are kept in sync. A semver range, else a glob. */
import { compareVersions, parseRange, parseVersion } from './semver.ts'

/** A tag, and when it came or was made (epoch milliseconds), where that is known. */
export interface DatedTag {
  readonly tag: string
  readonly at?: number | undefined
}

/** Whether a tag is wanted; undefined for a pattern that is neither range nor glob. */
export function parseTagPattern(text: string): ((tag: string) => boolean) | undefined {
  const range = text.trim() === '*' ? undefined : parseRange(text)
  if (range !== undefined) {
    return tag => {
      const version = parseVersion(tag)
      return version !== undefined && range(version)
    }
  }
  if (!/^[A-Za-z0-9_.*?-]{1,128}$/.test(text) || !/[*?]/.test(text)) return undefined
  const parts = text.replace(/\*+/g, '*').split(/([*?])/)
  return tag =>
    matchesGlob(
      parts.filter(part => part !== ''),
      tag,
    )
}

/** The newest first: versions by their order, and before all that are none; those by date, then by name. */
export function compareTags(a: DatedTag, b: DatedTag): number {
  const [left, right] = [parseVersion(a.tag), parseVersion(b.tag)]
  if (left && right) return compareVersions(right, left) || (a.tag < b.tag ? -1 : 1)
  if (left || right) return left ? -1 : 1
  return (b.at ?? 0) - (a.at ?? 0) || (a.tag < b.tag ? 1 : -1)
}

/** Greedy with one way back, so that no pattern takes more than length times length. */
function matchesGlob(parts: readonly string[], tag: string): boolean {
  const pattern = parts.flatMap(part => (part === '*' || part === '?' ? [part] : [...part].map(char => `=${char}`)))
  let at = 0
  let star = -1
  let resume = 0
  let index = 0
  while (index < tag.length) {
    const want = pattern[at]
    if (want === '?' || want === `=${tag[index]}`) {
      at++
      index++
    } else if (want === '*') {
      star = at++
      resume = index
    } else if (star >= 0) {
      at = star + 1
      index = ++resume
    } else return false
  }
  return pattern.slice(at).every(part => part === '*')
}
