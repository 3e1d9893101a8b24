/**
 * `WWW-Authenticate`: which proof a registry wants. Used by authorizer.ts.
 * RFC 9110, 11.6.1; distribution's token authentication specification.
 */

/** One challenge of possibly several. Names are lower case; values without their quotes. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const maxHeaderLength = 16 * 1024
const token = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
const parameterPattern = new RegExp(`(${token})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s,"]*))`, 'y')
const schemePattern = new RegExp(`(${token})(?=[ \\t,]|$)`, 'y')
const gapPattern = /[\s,]*/y

/**
 * Parses every challenge of the header's values, in their order. Commas stand between challenges, between parameters and inside
 * quotes, so this reads from left to right: a word with `=` is a parameter of the challenge before it, a word without starts one.
 * What can't be read ends its value; nothing throws.
 */
export function parseChallenges(values: readonly string[]): readonly Challenge[] {
  return values.flatMap(value => parseOne(value.slice(0, maxHeaderLength)))
}

function parseOne(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  while (at < text.length) {
    at = match(gapPattern, text, at)?.end ?? at
    const parameter = match(parameterPattern, text, at)
    const last = challenges.at(-1)
    if (parameter !== undefined && last !== undefined) {
      const [, name = '', quoted, plain = ''] = parameter.groups
      last.parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain)
      at = parameter.end
      continue
    }
    const scheme = match(schemePattern, text, at)
    if (scheme === undefined) break
    challenges.push({ scheme: (scheme.groups[1] ?? '').toLowerCase(), parameters: new Map() })
    at = scheme.end
  }
  return challenges
}

function match(pattern: RegExp, text: string, at: number): { groups: RegExpExecArray; end: number } | undefined {
  pattern.lastIndex = at
  const groups = pattern.exec(text)
  return groups === null ? undefined : { groups, end: pattern.lastIndex }
}
