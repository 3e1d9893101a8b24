/** Holds the table of rooms: who may import whom in src/. The table of docs/architecture.md, as a test. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import t from 'tap'

const src = join(import.meta.dirname, '../src')

/** From left to right; a room imports only from its right, never a neighbour in the same row. */
const rows = [
  ['main'],
  ['cli'],
  ['agent'],
  ['mqtt', 'http'],
  ['management'],
  ['plans'],
  ['transfer'],
  ['registry', 'store', 'access'],
  ['state'],
  ['oci'],
]
/** The configuration stands beside the rows: only these see it, and it sees only the nouns. */
const readersOfConfig = ['main', 'cli', 'agent']

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const texts = new Map(files.map(file => [file, readFileSync(join(src, file), 'utf8')]))

t.test('every file is in a room of the table', async t => {
  t.same(
    files.filter(file => roomOf(file) !== 'config' && rowOf(roomOf(file)) < 0),
    [],
  )
})

t.test('a room imports only from its right', async t => {
  const wrong = [...texts].flatMap(([file, text]) =>
    importsOf(file, text)
      .filter(target => !mayImport(roomOf(file), roomOf(target)))
      .map(target => `src/${file} imports src/${target}`),
  )
  t.same(wrong, [])
})

t.test('no file loads itself in a circle', async t => {
  const typesOnly = /^(?:import|export) type [^']*'[^']+'/gm
  const loads = new Map([...texts].map(([file, text]) => [file, importsOf(file, text.replace(typesOnly, ''))]))
  t.same(
    files.map(file => circleFrom(file, loads)).filter(circle => circle.length > 0),
    [],
  )
})

t.test('no default exports', async t => {
  t.same(
    [...texts].filter(([, text]) => /^export default\b/m.test(text)).map(([file]) => file),
    [],
  )
})

function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  if (to === 'config') return readersOfConfig.includes(from)
  if (from === 'config') return to === 'oci'
  return rowOf(from) < rowOf(to)
}

function rowOf(room: string): number {
  return rows.findIndex(row => row.includes(room))
}

/** `plans/run.ts` is in plans, `agent.ts` in agent. */
function roomOf(file: string): string {
  return (file.split(sep)[0] ?? '').replace(/\.ts$/, '')
}

/** The files of src that the text of a file imports or exports from. */
function importsOf(file: string, text: string): string[] {
  const specifiers = [...text.matchAll(/(?:\bfrom|\bimport\(?)\s*'(\.[^']+)'/g)].map(match => match[1] ?? '')
  return specifiers
    .map(specifier => relative(src, join(src, dirname(file), specifier)))
    .filter(target => target.endsWith('.ts') && !target.startsWith('..'))
}

/** The files on a way that leads back to `start`, or none. */
function circleFrom(start: string, loads: ReadonlyMap<string, readonly string[]>): string[] {
  const seen = new Set<string>()
  const walk = (file: string, way: readonly string[]): string[] => {
    for (const target of loads.get(file) ?? []) {
      if (target === start) return [...way, start]
      if (seen.has(target)) continue
      seen.add(target)
      const found = walk(target, [...way, target])
      if (found.length > 0) return found
    }
    return []
  }
  return walk(start, [start])
}
