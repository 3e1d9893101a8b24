/** What is wrong with the form of a plan: every field, with its path and what was expected. Used by plan.ts. */
import { type TSchema, Type } from 'typebox'
import type { TLocalizedValidationError } from 'typebox/error'
import { Settings } from 'typebox/system'
import { nearest } from '../oci/nearest.ts'
import { Shape } from '../oci/shape.ts'
import { type PackageInfo, PackageSchema, type PlanDocument, PlanSchema } from './schema.ts'

/** Problems that are listed; the rest is counted. */
export const maxProblems = 100

const validator = new Shape(PlanSchema)
const packageValidator = new Shape(PackageSchema)

/** Whether a value has the form of a plan. */
export function isPlanDocument(value: unknown): value is PlanDocument {
  return validator.check(value)
}

/** Whether a value has the form of a plan's `package`. */
export function isPackageInfo(value: unknown): value is PackageInfo {
  return packageValidator.check(value)
}

/** Everything that is wrong with the form of a value, a line each: `spec.images[0].source: expected text, got a number`. */
export function listFormProblems(value: unknown): string[] {
  const errors = collectErrors(value)
  // The forms that a union offers are errors each, beside the one that says that none of them fits
  const unions = errors.filter(error => error.keyword === 'anyOf').map(error => error.instancePath)
  const ofUnion = (error: TLocalizedValidationError) =>
    error.keyword !== 'anyOf' &&
    unions.some(path => error.instancePath === path || error.instancePath.startsWith(`${path}/`))
  return errors.filter(error => !ofUnion(error)).flatMap(error => describe(error, value))
}

/** The paths of everything in a value that has the wrong form, or is not known. */
export function listMisfits(value: unknown): string[][] {
  return collectErrors(value).flatMap(({ instancePath, keyword, params }) => {
    const keys = keysOf(instancePath)
    if (keyword === 'required') return []
    return keyword === 'additionalProperties' ? params.additionalProperties.map(key => [...keys, key]) : [keys]
  })
}

/** At most {@link maxProblems} of them, and how many more there are. */
export function limitProblems(problems: readonly string[]): readonly string[] {
  if (problems.length <= maxProblems) return problems
  return [...problems.slice(0, maxProblems), `and ${problems.length - maxProblems} more`]
}

/** Validation stops after 8 errors unless told otherwise, by a setting of the whole process: changed for this one call. */
function collectErrors(value: unknown): TLocalizedValidationError[] {
  const { maxErrors } = Settings.Get()
  Settings.Set({ maxErrors: maxProblems * 10 })
  try {
    return validator.errors(value)
  } finally {
    Settings.Set({ maxErrors })
  }
}

function describe(error: TLocalizedValidationError, document: unknown): string[] {
  const keys = keysOf(error.instancePath)
  const path = formatPath(keys)
  const schema = schemaAt(keys)
  const got = typeName(valueAt(document, keys))
  switch (error.keyword) {
    case 'boolean': // said by additionalProperties, too
      return []
    case 'required':
      return error.params.requiredProperties.map(key => `${formatPath([...keys, key])}: missing`)
    case 'additionalProperties':
      return error.params.additionalProperties.map(key => unknownField([...keys, key], schema))
    case 'type':
      return [`${path}: expected ${expectedType(String(error.params.type))}, got ${got}${quoteHint(error, got)}`]
    case 'anyOf':
      return [`${path}: expected ${descriptionOf(schema)}, got ${got}`]
    case 'const':
      return [`${path}: expected "${String(error.params.allowedValue)}"`]
    case 'format':
      return [`${path}: expected a time such as 2026-11-21T08:00:00Z`]
    case 'pattern':
      return [`${path}: expected ${String(error.params.pattern)}`]
    case 'minLength':
      return [`${path}: must not be empty`]
    default:
      return [`${path}: ${error.message}`]
  }
}

/** RFC 6901 */
function keysOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function unknownField(keys: readonly string[], parent: TSchema | undefined): string {
  const path = formatPath(keys)
  const known = Type.IsObject(parent) ? Object.keys(parent.properties) : []
  const near = nearest(keys.at(-1) ?? '', known)
  return `${path}: unknown field${near === undefined ? '' : `; did you mean "${near}"?`}`
}

function expectedType(type: string): string {
  const names: Record<string, string> = {
    string: 'text',
    integer: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'a mapping',
  }
  return names[type] ?? `a ${type}`
}

/** `1.10` in YAML is the number 1.1. */
function quoteHint(error: TLocalizedValidationError, got: string): string {
  return error.keyword === 'type' && error.params.type === 'string' && (got === 'a number' || got === 'true or false')
    ? ' (write it in quotes)'
    : ''
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  const names: Record<string, string> = { number: 'a number', boolean: 'true or false', string: 'text' }
  return names[typeof value] ?? 'a mapping'
}

/** `spec.images[0].source`; the keys are clipped, they come from outside. */
function formatPath(keys: readonly string[]): string {
  if (keys.length === 0) return 'the plan'
  return keys
    .map(key => (key.length > 100 ? `${key.slice(0, 100)}…` : key))
    .map((key, at) => (/^\d+$/.test(key) ? `[${key}]` : at === 0 ? key : `.${key}`))
    .join('')
}

function valueAt(document: unknown, keys: readonly string[]): unknown {
  let value = document
  for (const key of keys) {
    if (Array.isArray(value)) value = value[Number(key)]
    else if (typeof value === 'object' && value !== null)
      value = Object.entries(value).find(([name]) => name === key)?.[1]
    else return undefined
  }
  return value
}

function schemaAt(keys: readonly string[]): TSchema | undefined {
  let schema: TSchema | undefined = PlanSchema
  for (const key of keys) {
    if (Type.IsArray(schema)) schema = schema.items
    else if (Type.IsObject(schema)) schema = schema.properties[key]
    else return undefined
  }
  return schema
}

function descriptionOf(schema: TSchema | undefined): string {
  return schema !== undefined && 'description' in schema ? String(schema.description) : 'another kind of value'
}
