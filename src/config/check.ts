/** Holds a configuration against its schema: every unknown key and wrong value, and the defaults filled in. Used by config.ts. */
import { type TObject, type TSchema, Type } from 'typebox'
import { Check } from 'typebox/value'
import { nearest } from '../oci/nearest.ts'
import { withoutUserinfo } from '../oci/userinfo.ts'
import { factsOf, maxListItems } from './forms.ts'

export type KeyPath = readonly (string | number)[]

/** One thing that is wrong. */
export interface ConfigProblem {
  /** `upstreams[0].host`; empty for the file as a whole. */
  readonly key: string
  readonly message: string
  /** Of the file, from 1. */
  readonly line?: number
}

/** `upstreams[0].host`. */
export function formatKey(path: KeyPath): string {
  return path.map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${part}`)).join('')
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The value with defaults in place of what is absent, null or wrong. All that is wrong is told to `report`; a mapping that lacks a
 * key without default is left out as a whole (undefined).
 */
export function checkValue(schema: TSchema, value: unknown, path: KeyPath, report: Report): unknown {
  if (Type.IsObject(schema)) return checkMapping(schema, value, path, report)
  const { expected = 'another value', secret, secretWhenWrong } = factsOf(schema)
  const isList = Type.IsArray(schema)
  if (isList ? !Array.isArray(value) || value.length > maxListItems : !Check(schema, value)) {
    report(path, `expected ${expected}${secret || secretWhenWrong ? '' : `, got ${show(value)}`}`)
    return undefined
  }
  if (!isList || !Array.isArray(value)) return value
  return value.map((item: unknown, at) => checkValue(schema.items, item, [...path, at], report))
}

export type Report = (path: KeyPath, message: string) => void

function checkMapping(schema: TObject, value: unknown, path: KeyPath, report: Report): unknown {
  if (!isMapping(value)) {
    report(path, `expected keys with values, got ${show(value)}`)
    return undefined
  }
  const known = Object.keys(schema.properties)
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) report([...path, key], unknownKey(key, known))
  }
  const checked: Record<string, unknown> = {}
  let complete = true
  for (const [key, property] of Object.entries(schema.properties)) {
    const given = Object.hasOwn(value, key) ? (value[key] ?? undefined) : undefined
    const own = given === undefined ? undefined : checkValue(property, given, [...path, key], report)
    const result = own ?? defaultOf(property, [...path, key], report)
    if (result !== undefined) checked[key] = result
    else if (!Type.IsOptional(property)) {
      complete = false
      if (given === undefined) report([...path, key], `is missing: expected ${factsOf(property).expected}`)
    }
  }
  return complete ? checked : undefined
}

function defaultOf(property: TSchema, path: KeyPath, report: Report): unknown {
  if (Type.IsOptional(property)) return undefined
  return Type.IsObject(property) ? checkMapping(property, {}, path, report) : factsOf(property).default
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return `is not a key of the configuration${near === undefined ? `; expected one of ${known.join(', ')}` : `; did you mean "${near}"?`}`
}

/** What is in lists and mappings is not shown: it may be a password. */
function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'a mapping'
  const text = JSON.stringify(typeof value === 'string' ? withoutUserinfo(value) : value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
