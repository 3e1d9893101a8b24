/** Annotations as they stand in a row: a JSON object of strings. Used by content.ts. */
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'

const shape = Compile(Type.Record(Type.String(), Type.String()))

/** Reads a row's annotations back. @throws Error when the row was written by something else. */
export function readAnnotations(json: string): Readonly<Record<string, string>> {
  const value: unknown = JSON.parse(json)
  if (shape.Check(value)) return value
  throw new Error('the annotations of a manifest in the database are not an object of strings')
}
