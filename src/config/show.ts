/** Prints a configuration for people, without its secrets. Used by the command `config show`. */
import { type TSchema, Type } from 'typebox'
import { stringify } from 'yaml'
import type { CompleteDocument } from './build.ts'
import { isMapping } from './check.ts'
import { factsOf } from './forms.ts'
import { ConfigSchema } from './schema.ts'

/** The document with `<redacted>` in place of every secret. Paths of files that hold secrets stay. */
export function redactDocument(document: CompleteDocument): unknown {
  return redact(ConfigSchema, document)
}

/** The effective configuration as YAML that could be a file again, but for the secrets. */
export function formatDocument(document: CompleteDocument): string {
  return stringify(redactDocument(document), { lineWidth: 0 })
}

function redact(schema: TSchema, value: unknown): unknown {
  if (factsOf(schema).secret && value !== undefined) return '<redacted>'
  if (Type.IsArray(schema) && Array.isArray(value)) return value.map((item: unknown) => redact(schema.items, item))
  if (!Type.IsObject(schema) || !isMapping(value)) return value
  const entries = Object.entries(schema.properties).map(([key, property]) => [key, redact(property, value[key])])
  return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined))
}
