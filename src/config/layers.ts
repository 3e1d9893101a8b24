/** Lays the values of a file and of the environment over each other. Used by config.ts. */
import { resolve } from 'node:path'
import { type TSchema, Type } from 'typebox'
import { isMapping } from './check.ts'
import { factsOf } from './forms.ts'

/** Every relative path of a layer made absolute, from the folder it is meant from. */
export function resolvePaths(schema: TSchema, value: unknown, folder: string): unknown {
  if (typeof value === 'string')
    return factsOf(schema).path !== undefined && value !== '' ? resolve(folder, value) : value
  if (Array.isArray(value)) {
    return Type.IsArray(schema) ? value.map((item: unknown) => resolvePaths(schema.items, item, folder)) : value
  }
  if (!isMapping(value) || !Type.IsObject(schema)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const property = Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined
      return [key, property === undefined ? inner : resolvePaths(property, inner, folder)]
    }),
  )
}

/** `upper` over `lower`, key by key; lists are replaced. A secret above takes the place of its other form (`…File`) below. */
export function overlay(lower: unknown, upper: unknown): unknown {
  if (!isMapping(lower) || !isMapping(upper)) return upper
  const result = { ...lower }
  for (const [key, value] of Object.entries(upper)) {
    const other = key.endsWith('File') ? key.slice(0, -'File'.length) : `${key}File`
    if (!Object.hasOwn(upper, other)) delete result[other]
    result[key] = Object.hasOwn(lower, key) ? overlay(lower[key], value) : value
  }
  return result
}
