/**
 * Writes the documents that are made from the code, so that they can't tell something else. `npm run docs` writes them;
 * test/docs.test.ts fails when one is stale.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { planJsonSchema } from '../src/plans/schema.ts'
import { configurationReference, sampleConfiguration } from './docs/configuration.ts'
import { errorCodeTable } from './docs/error-codes.ts'
import { rightsTable } from './docs/rights.ts'

/** One document, or the part of one between its markers. */
export interface MadeDocument {
  /** From the root of the checkout. */
  readonly path: string
  /** The whole text of the file. `current` is what it says now, where it is there. */
  make(current: string): string
}

export const documents: readonly MadeDocument[] = [
  { path: 'agent.config.yaml', make: sampleConfiguration },
  { path: 'docs/configuration.md', make: configurationReference },
  { path: 'README.md', make: current => replacePart(current, 'error-codes', errorCodeTable()) },
  { path: 'docs/access.md', make: current => replacePart(current, 'rights', rightsTable()) },
  { path: 'docs/plan.schema.json', make: () => `${JSON.stringify(planJsonSchema(), null, 2)}\n` },
]

const root = join(import.meta.dirname, '..')

/** The text with `part` between `<!-- made: NAME -->` and `<!-- end: NAME -->`; for a table in a document that people write. */
export function replacePart(current: string, name: string, part: string): string {
  const [start, end] = [`<!-- made: ${name} -->`, `<!-- end: ${name} -->`]
  const [from, to] = [current.indexOf(start), current.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the markers "${start}" and "${end}" are missing`)
  return `${current.slice(0, from + start.length)}\n${part.trimEnd()}\n${current.slice(to)}`
}

/** What a document says now; empty where it isn't there. */
export function readDocument(path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return ''
  }
}

if (import.meta.main) {
  for (const { path, make } of documents) {
    const current = readDocument(path)
    const text = make(current)
    if (text === current) continue
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
    process.stdout.write(`wrote ${path}\n`)
  }
}
