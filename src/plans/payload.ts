/** Bytes as they arrive to a plain value: UTF-8, then JSON or YAML, with limits. Used by plan.ts. */
import { isMap, isScalar, parseDocument, visit } from 'yaml'
import { type Jws, readCompactJws, readFlattenedJws, type TrustedKey, verifyJws } from '../oci/jws.ts'
import { maxPlanBytes } from './schema.ts'
import type { RejectedReason } from './status.ts'

/** Anchors may be used, but not to blow a small text up. */
const maxAliases = 100
/** A plan is 5 levels deep. Parsers grow slow, or fall over, at thousands. */
const maxDepth = 64

export type Payload =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly reason: RejectedReason; readonly problem: string }

/**
 * Reads a payload. What is wrong is told, never thrown.
 * @param keys whose signatures are trusted: with any, nothing is taken that none of them has signed.
 */
export function readPayload(bytes: Uint8Array, keys: readonly TrustedKey[]): Payload {
  if (bytes.byteLength > maxPlanBytes) return invalid(`the plan is larger than ${maxPlanBytes} bytes`)
  const text = decode(bytes)
  if (text === undefined) return invalid('the plan is not UTF-8 text')
  const compact = readCompactJws(text)
  if (compact) return readSigned(compact, keys)
  const payload = readPlain(text)
  const flattened = payload.kind === 'value' ? readFlattenedJws(payload.value) : undefined
  if (flattened) return readSigned(flattened, keys)
  if (keys.length === 0) return payload
  return {
    kind: 'refused',
    reason: 'Unsigned',
    problem: 'the plan is not signed (JWS), and this edge takes signed plans only',
  }
}

/** What a signature covers is a plan as any other; not one that is signed once more. */
function readSigned(jws: Jws, keys: readonly TrustedKey[]): Payload {
  if (keys.length === 0) {
    // `Unsigned` would be wrong, and `Invalid` would send people to look for a typo
    const problem = 'the plan is signed (JWS), and this edge has no trusted keys to check signatures with'
    return { kind: 'refused', reason: 'Untrusted', problem }
  }
  const verified = verifyJws(jws, keys)
  if (verified.kind === 'untrusted') {
    return { kind: 'refused', reason: 'Untrusted', problem: `the plan's signature is not trusted: ${verified.problem}` }
  }
  const text = decode(verified.payload)
  return text === undefined ? invalid('the signed plan is not UTF-8 text') : readPlain(text)
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function readPlain(text: string): Payload {
  return isTooDeep(text) ? invalid(`the plan is nested deeper than ${maxDepth} levels`) : readText(text)
}

function readText(text: string): Payload {
  // JSON first: it is most of what arrives, and its parser is far faster than YAML's, which would read it as well
  if (/^\s*[{[]/.test(text)) {
    try {
      const value: unknown = JSON.parse(text)
      const twice = duplicateJsonKey(text)
      return twice === undefined ? { kind: 'value', value } : invalid(`the key "${clip(twice)}" stands twice`)
    } catch {
      // A YAML flow mapping looks like this, too
    }
  }
  return readYaml(text)
}

function readYaml(text: string): Payload {
  try {
    // uniqueKeys compares every key with every other, which a text of many keys could use to stop the process
    const document = parseDocument(text, { uniqueKeys: false, stringKeys: true, logLevel: 'error' })
    const [error] = document.errors
    if (error) return invalid(`the plan is neither JSON nor YAML: ${clip(error.message.split('\n')[0] ?? error.code)}`)
    const twice = duplicateYamlKey(document)
    if (twice !== undefined) return invalid(`the key "${clip(twice)}" stands twice`)
    const value: unknown = document.toJS({ maxAliasCount: maxAliases })
    return { kind: 'value', value }
  } catch (error) {
    return invalid(`the plan is neither JSON nor YAML: ${clip(error instanceof Error ? error.message : String(error))}`)
  }
}

/** Counts brackets as they stand, inside strings as well: 64 unpaired ones in a row are no plan. */
function isTooDeep(text: string): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{' || char === '[') depth++
    else if ((char === '}' || char === ']') && depth > 0) depth--
    if (depth > maxDepth) return true
  }
  return false
}

/** A key that stands twice in one object of a text that is valid JSON; JSON.parse would take the last in silence. */
function duplicateJsonKey(text: string): string | undefined {
  const open: Set<string>[] = []
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === '{' || token === '[') open.push(new Set())
    else if (token === '}' || token === ']') open.pop()
    else if (token.endsWith(':')) {
      const key: unknown = JSON.parse(token.slice(0, -1))
      const keys = open.at(-1)
      if (keys?.has(String(key))) return String(key)
      keys?.add(String(key))
    }
  }
  return undefined
}

function duplicateYamlKey(document: Parameters<typeof visit>[0]): string | undefined {
  let twice: string | undefined
  visit(document, {
    Map(_, node) {
      if (!isMap(node)) return undefined
      const keys = new Set<string>()
      for (const { key } of node.items) {
        const name = isScalar(key) ? String(key.value) : String(key)
        if (keys.has(name)) {
          twice = name
          return visit.BREAK
        }
        keys.add(name)
      }
      return undefined
    },
  })
  return twice
}

function invalid(problem: string): Payload {
  return { kind: 'refused', reason: 'Invalid', problem }
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
