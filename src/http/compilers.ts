/**
 * Keeps the framework's own schema compilers from being loaded: TypeBox checks what comes in, and nothing else is compiled. That
 * saves 8 MB. Used where a fastify instance is made.
 */

function unused(): never {
  throw new Error('schemas are checked by TypeBox, and answers are written as they are')
}

/** For fastify's option `schemaController`. */
export const schemaController = { compilersFactory: { buildValidator: unused, buildSerializer: unused } }
