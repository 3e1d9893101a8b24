/**
 * How schemas check what comes in over HTTP: by TypeBox alone. The framework's own compilers, and those of its TypeBox plugin, would bring a
 * second validator into memory (8 MB). Used where a fastify instance is made.
 */
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Convert } from 'typebox/value'
import { Shape } from '../oci/shape.ts'

/** Checks what comes in. Queries, parameters and headers are texts, and are converted first; bodies are taken as they are. */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const shape = new Shape(schema)
  return (value: unknown) => {
    const converted = httpPart === 'body' ? value : Convert(schema, value)
    return shape.check(converted) ? { value: converted } : { error: shape.errors(converted) }
  }
}

function unused(): never {
  throw new Error('an instance brings the compilers that it uses')
}

/** For fastify's option `schemaController`: keeps its own compilers from being loaded. */
export const schemaController = { compilersFactory: { buildValidator: unused, buildSerializer: unused } }
