/** Reads a configuration file: YAML with the line of every key, so that a problem can say where it is. Used by config.ts. */
import { readFileSync, statSync } from 'node:fs'
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { type ConfigProblem, isMapping, type KeyPath } from './check.ts'

const maxFileBytes = 1024 * 1024

export interface ConfigFile {
  readonly values: Record<string, unknown>
  /** Why it is not YAML, or can't be read. */
  readonly problems: readonly ConfigProblem[]
  /** The line of a key, from 1; of the nearest key above it where it is not in the file itself. */
  lineOf(path: KeyPath): number | undefined
}

/** Reads and parses; what is wrong is among the problems, nothing is thrown. */
export function readConfigFile(path: string): ConfigFile {
  const text = readText(path)
  if (typeof text !== 'string') return withProblems([{ key: '', message: text.problem }])
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return withProblems(
      document.errors.slice(0, 20).map(error => ({
        key: '',
        message: `not valid YAML: ${error.message}`,
        line: lines.linePos(error.pos[0]).line,
      })),
    )
  }
  const values = toValues(document)
  if (typeof values === 'string') return withProblems([{ key: '', message: values }])
  return {
    values,
    problems: [],
    lineOf(key) {
      const offset = offsetOf(document.contents, key)
      return offset === undefined ? undefined : lines.linePos(offset).line
    },
  }
}

function withProblems(problems: readonly ConfigProblem[]): ConfigFile {
  return { values: {}, problems, lineOf: () => undefined }
}

function readText(path: string): string | { problem: string } {
  try {
    if (statSync(path).size > maxFileBytes) return { problem: `is larger than ${maxFileBytes} bytes` }
    return readFileSync(path, 'utf8')
  } catch (error) {
    return { problem: `can not be read: ${error instanceof Error ? error.message : String(error)}` }
  }
}

/** The document's keys, or why it has none. An empty file is a configuration without keys. */
function toValues(document: ReturnType<typeof parseDocument>): Record<string, unknown> | string {
  try {
    const values: unknown = document.toJS({ maxAliasCount: 100 }) ?? {}
    return isMapping(values) ? values : 'expected keys with values at the top level'
  } catch (error) {
    return `not valid YAML: ${error instanceof Error ? error.message : String(error)}` // an alias without its anchor
  }
}

function offsetOf(contents: unknown, path: KeyPath): number | undefined {
  let node: unknown = contents
  let offset: number | undefined
  for (const part of path) {
    if (typeof part === 'number') {
      if (!isSeq(node)) break
      node = node.items[part]
      if (isMap(node) || isScalar(node) || isSeq(node)) offset = node.range?.[0] ?? offset
    } else {
      if (!isMap(node)) break
      const pair = node.items.find(one => isScalar(one.key) && one.key.value === part)
      if (pair === undefined) break
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset
      node = pair.value
    }
  }
  return offset
}
