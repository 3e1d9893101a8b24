/** The one form of an error of this API: `{error: {code, message, details}}`. */
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import { maxPlanBytes } from '../../plans/schema.ts'
import type { ApiErrorCode } from './shapes.ts'

/** Any type is taken, but the framework wants it to look like one. */
export const noMediaType = 'the Content-Type is no media type: send "Content-Type: application/json", or none'

/** A request that is answered with an error. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: ApiErrorCode
  readonly details: readonly string[]

  constructor(status: number, code: ApiErrorCode, message: string, details: readonly string[] = []) {
    super(message)
    this.status = status
    this.code = code
    this.details = details
  }
}

/** Makes every error of the instance, its framework's own ones too, take the one form. */
export function answerErrors(app: FastifyInstance, logger: Logger): void {
  app.setNotFoundHandler(async request => {
    throw new ApiError(
      404,
      'NOT_FOUND',
      `there is no ${request.method} ${request.url.slice(0, 200)}; /docs describes the API`,
    )
  })
  app.setErrorHandler<FastifyError | ApiError>(async (error, request, reply) => {
    const answer = toApiError(error)
    if (answer.status >= 500) logger.error({ err: error, url: request.url.slice(0, 200) }, 'an API request failed')
    return reply.code(answer.status).send(errorBody(answer))
  })
}

/** Answers what fastify refuses before any route: a path that can't be decoded, or with a name that is too long. */
export function sendFrameworkError(error: FastifyError, reply: FastifyReply): void {
  const answer = toApiError(error)
  void reply.code(answer.status).send(errorBody(answer))
}

function errorBody(error: ApiError) {
  return { error: { code: error.code, message: error.message, details: error.details } }
}

/** Any error as this API's own; an unforeseen one tells nothing of the inside. */
function toApiError(error: FastifyError | ApiError): ApiError {
  if (error instanceof ApiError) return error
  if (error.statusCode === 413) {
    return new ApiError(413, 'TOO_LARGE', `a plan is at most ${maxPlanBytes} bytes`)
  }
  if (error.statusCode === 415) return new ApiError(400, 'INVALID_REQUEST', noMediaType)
  if (error.validation) {
    return new ApiError(400, 'INVALID_REQUEST', 'the request is not valid', error.validation.map(describeProblem))
  }
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new ApiError(error.statusCode, 'INVALID_REQUEST', error.message)
  }
  return new ApiError(500, 'INTERNAL', 'the agent could not answer; its log says why')
}

interface Problem {
  readonly instancePath: string
  readonly keyword: string
  readonly message?: string | undefined
}

function describeProblem({ instancePath, keyword, message = 'is not valid' }: Problem): string {
  // Times are the only form that a query has.
  const what = keyword === 'format' ? 'must be a time, such as 2026-11-21T08:00:00Z' : message
  return `${instancePath || 'the request'} ${what}`
}
