/** Parts of the API whose bodies are JSON; around them bodies are plans, and are read by the intake. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'

const maxBytes = 64 * 1024

/** Adds routes that take JSON bodies. */
export async function addJsonScope(app: ApiInstance, add: (scope: ApiInstance) => void): Promise<void> {
  await app.register(async scope => {
    readJson(scope, maxBytes, message => new ApiError(400, 'INVALID_REQUEST', message))
    add(scope)
  })
}

/**
 * Lets a scope read JSON, whatever its type says: curl's `-d` calls everything a form, and merge patches have types of their own. An empty
 * body is none. `refuse` makes the error of a body that is no JSON.
 */
export function readJson(scope: FastifyInstance, bodyLimit: number, refuse: (message: string) => Error): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'string', bodyLimit }, async (_request: FastifyRequest, body: string) => {
    if (body.trim() === '') return undefined
    try {
      return JSON.parse(body)
    } catch (error) {
      throw refuse(`the body is not JSON: ${reasonOf(error)}`)
    }
  })
}

/** Without the piece of the text that V8 quotes: it may be a password. */
function reasonOf(error: unknown): string {
  const place =
    error instanceof Error ? /at position \d+(?: \(line \d+ column \d+\))?/.exec(error.message)?.[0] : undefined
  return `there is an error ${place ?? 'in it'}`
}
