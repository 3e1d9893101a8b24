/**
 * Holds a document against its schema, field by field: every wrong one with its path, what was expected and an example; defaults are
 * filled in. Used by documents.ts.
 */
import { type TObject, type TSchema, Type } from 'typebox'
import { Check } from 'typebox/value'
import { nearest } from '../oci/nearest.ts'
import { withoutUserinfo } from '../oci/userinfo.ts'

/** What a field's schema says beyond its type. */
export interface FieldFacts {
  /** What a right value is, for the message about a wrong one. */
  readonly expected?: string
  readonly example?: unknown
  readonly description?: string
  readonly default?: unknown
  /** Never quoted. */
  readonly secret?: boolean
  /** What a value that people often get wrong is meant to be: said in place of `expected`. */
  readonly correct?: (value: string) => string | undefined
}

/** Tells of one wrong field. */
export type Report = (path: string, message: string) => void

const maxItems = 1000
/** Problems that are listed of one document; it may have a million wrong fields. */
export const maxProblems = 100

/** Text of at most `limit` characters that `right` lets pass. */
export function textField(expected: string, right: (value: string) => boolean, facts: FieldFacts, limit = 1024) {
  return Type.Refine(Type.String({ minLength: 1, maxLength: limit, expected, ...facts }), right)
}

/** The value with defaults filled in; what is wrong is left out and told to `report`. */
export function checkFields(schema: TSchema, value: unknown, path: string, report: Report): unknown {
  if (Type.IsObject(schema)) return checkMapping(schema, value, path, report)
  if (Type.IsRecord(schema) || !Type.IsArray(schema)) return checkOne(schema, value, path, report)
  if (!Array.isArray(value) || value.length > maxItems) return wrong(schema, value, path, report)
  return value.map((item: unknown, at) => checkFields(schema.items, item, `${path}[${at}]`, report))
}

function checkOne(schema: TSchema, value: unknown, path: string, report: Report): unknown {
  return Check(schema, value) ? value : wrong(schema, value, path, report)
}

function wrong(schema: TSchema, value: unknown, path: string, report: Report): undefined {
  const { expected = 'another value', example, secret, correct } = factsOf(schema)
  const correction = typeof value === 'string' ? correct?.(value) : undefined
  const got = secret ? '' : `, got ${show(value)}`
  const such = example === undefined || expected.includes(String(example)) ? '' : `, e.g. ${showExample(example)}`
  const quotes = schemaIsText(schema) && (typeof value === 'number' || typeof value === 'boolean')
  report(path, correction ?? `expected ${expected}${such}${got}${quotes ? ' (write it in quotes)' : ''}`)
  return undefined
}

function checkMapping(schema: TObject, value: unknown, path: string, report: Report): unknown {
  if (!isMapping(value)) {
    return wrong({ expected: 'a mapping', ...schema }, value, path, report)
  }
  const known = Object.keys(schema.properties)
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) report(join(path, key), unknownField(key, known))
  }
  const checked: Record<string, unknown> = {}
  for (const [key, property] of Object.entries(schema.properties)) {
    const given = Object.hasOwn(value, key) ? (value[key] ?? undefined) : undefined
    if (given === undefined) {
      const { default: fallback, expected = 'a value', example } = factsOf(property)
      if (fallback !== undefined) checked[key] = fallback
      else if (Type.IsOptional(property)) continue
      else if (Type.IsObject(property)) checkFields(property, {}, join(path, key), report)
      else report(join(path, key), missing(expected, example))
      continue
    }
    const result = checkFields(property, given, join(path, key), report)
    if (result !== undefined) checked[key] = result
  }
  return checked
}

function missing(expected: string, example: unknown): string {
  const such = example === undefined || expected.includes(String(example)) ? '' : `, e.g. ${showExample(example)}`
  return `is required: expected ${expected}${such}`
}

function unknownField(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return near === undefined
    ? `unknown field; expected one of ${known.join(', ')}`
    : `unknown field; did you mean "${near}"?`
}

function schemaIsText(schema: TSchema): boolean {
  return 'type' in schema && schema.type === 'string'
}

function factsOf(schema: TSchema): FieldFacts {
  return schema
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function join(path: string, key: string): string {
  const shown = /^[A-Za-z0-9_-]{1,100}$/.test(key) ? key : `["${key.slice(0, 100)}"]`
  return path === '' || shown.startsWith('[') ? `${path}${shown}` : `${path}.${shown}`
}

/** One line, clipped: it is a guest's. What is in lists and mappings is not quoted: it may hold a secret. */
function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (isMapping(value)) return 'a mapping'
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(typeof value === 'string' ? withoutUserinfo(value) : value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function showExample(value: unknown): string {
  return JSON.stringify(value)
}
