/** The documents that are made from the code say what the code says. */
import { join } from 'node:path'
import t from 'tap'
import { type TSchema, Type } from 'typebox'
import { parse } from 'yaml'
import { documents, readDocument, replacePart } from '../scripts/write-docs.ts'
import { ConfigSchema } from '../src/config/schema.ts'
import { type LoadedConfig, loadConfig } from '../src/config.ts'

for (const { path, make } of documents) {
  t.test(`${path} is not stale`, async t => {
    const current = readDocument(path)
    t.equal(current, make(current), 'npm run docs writes it anew')
  })
}

const sample = readDocument('agent.config.yaml')

t.test('the sample configuration is the defaults', async t => {
  const file = join(t.testdir({ 'a.yaml': sample, 'empty.yaml': '' }), 'a.yaml')
  const loaded = loadConfig({ file, env: {} })
  t.strictSame(loaded.config, loadConfig({ file: join(t.testdirName, 'empty.yaml'), env: {} }).config)
  t.strictSame(loaded.warnings, [])
})

t.test('the sample configuration has every key', async t => {
  // Sections are commented out once, optional keys in them twice.
  const all = parse(uncomment(uncomment(sample)))
  t.strictSame([...namesOf(all, '')].sort(), [...keysOf(ConfigSchema, '')].sort())
})

t.test('what is commented out is valid when it is not', async t => {
  const load = (text: string): LoadedConfig =>
    loadConfig({ file: join(t.testdir({ 'a.yaml': text }), 'a.yaml'), env: {} })
  t.match(
    load(uncomment(sample.slice(sample.indexOf('# The link to MECM'), sample.indexOf('# What is asked')))).config.mqtt,
    { prefix: 'mecm/v1' },
  )
  const upstreams = sample.slice(sample.indexOf('# How to reach'), sample.indexOf('# A docker'))
  t.match(load(uncomment(upstreams)).config.upstreams, [{ host: 'registry.mecm.example:5000', plainHttp: false }])
  const external = sample.slice(sample.indexOf('  # A registry that'), sample.indexOf('# How to reach'))
  t.match(load(`registry:\n${uncomment(external)}`).config.registry, { kind: 'external', host: '127.0.0.1:5000' })
})

t.test('a part of a document is replaced between its markers', async t => {
  const text = 'a\n<!-- made: codes -->\nold\n<!-- end: codes -->\nb\n'
  t.equal(replacePart(text, 'codes', 'new\n'), 'a\n<!-- made: codes -->\nnew\n<!-- end: codes -->\nb\n')
  t.throws(() => replacePart(text, 'other', ''), /markers/)
})

/** Takes the first # of lines that are commented-out YAML; a sentence has exactly one blank after its #. */
function uncomment(text: string): string {
  return text.replace(/^( *)#(?=\w| {2})/gm, '$1').replace(/^( *- )#(?=\w)/gm, '$1')
}

function* namesOf(value: unknown, prefix: string): Generator<string> {
  if (Array.isArray(value)) for (const item of value) yield* namesOf(item, `${prefix}[]`)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return
  for (const [key, inner] of Object.entries(value)) {
    yield `${prefix}.${key}`
    yield* namesOf(inner, `${prefix}.${key}`)
  }
}

function* keysOf(schema: TSchema, prefix: string): Generator<string> {
  if (Type.IsArray(schema)) yield* keysOf(schema.items, `${prefix}[]`)
  if (!Type.IsObject(schema)) return
  for (const [key, property] of Object.entries(schema.properties)) {
    yield `${prefix}.${key}`
    yield* keysOf(property, `${prefix}.${key}`)
  }
}
