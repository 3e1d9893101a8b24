/** Any error of a call under `/oapis` as a Status: what the rooms behind refuse, what the framework refuses, and faults. */
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import { ManagementError, type ManagementReason } from '../../management/management-error.ts'
import { ImageError } from '../../oci/errors.ts'
import { ApiError } from '../api/api-error.ts'
import { singularOf } from './resources.ts'
import { StatusError } from './status.ts'

const codes: Readonly<Record<ManagementReason, number>> = {
  Invalid: 400,
  NotFound: 404,
  AlreadyExists: 409,
  Conflict: 409,
}

/** Makes every error of the scope, a path that isn't there too, a Status. */
export function answerStatuses(scope: FastifyInstance, logger: Logger): void {
  scope.setNotFoundHandler(async request => {
    throw new StatusError(404, `there is no ${request.method} ${request.url.slice(0, 200)}; /docs describes the API`)
  })
  scope.setErrorHandler<FastifyError | StatusError>(async (error, request, reply) => {
    const status = toStatus(error)
    if (status.code === 500) logger.error({ err: error, url: request.url.slice(0, 200) }, 'an API request failed')
    sendStatus(status, reply)
    return reply
  })
}

/** Answers with a Status. */
export function sendStatus(status: StatusError, reply: FastifyReply): void {
  if (status.code === 401 && !reply.hasHeader('www-authenticate')) void reply.header('www-authenticate', 'Bearer')
  void reply.code(status.code).type('application/json; charset=utf-8').send(status.body)
}

/** An unforeseen error tells nothing of the inside. */
export function toStatus(error: FastifyError | Error): StatusError {
  if (error instanceof StatusError) return error
  if (error instanceof ManagementError) {
    const { reason, object, problems } = error
    const { name } = object
    return new StatusError(codes[reason], error.message, { kind: singularOf(object.kind), name, reason, problems })
  }
  if (error instanceof ApiError) return new StatusError(error.status, error.message)
  if (error instanceof ImageError) return ofRegistry(error)
  // Of the signal that a call waits with, see scope.ts; a client that has gone reads no answer.
  if (error.name === 'TimeoutError') return new StatusError(504, 'this took too long; try again, or look at the log')
  if (error.name === 'AbortError') return new StatusError(503, 'the call was given up')
  if ('statusCode' in error && error.statusCode !== undefined && error.statusCode < 500) return ofFramework(error)
  return new StatusError(500, 'the agent could not answer; its log says why')
}

/** A registry that was asked for this call, and did not do what it should. */
function ofRegistry(error: ImageError): StatusError {
  const message = `${error.code}: ${error.message}. ${error.hint}`
  if (error.code === 'NAME_UNKNOWN' || error.code === 'MANIFEST_UNKNOWN') {
    return new StatusError(404, message, { reason: error.code })
  }
  if (error.code === 'NAME_INVALID' || error.code === 'TAG_INVALID' || error.code === 'DIGEST_INVALID') {
    return new StatusError(400, message)
  }
  return new StatusError(502, message, { reason: error.code })
}

function ofFramework(error: FastifyError): StatusError {
  switch (error.statusCode) {
    case 413:
      return new StatusError(413, 'the body is too large')
    case 415:
      return new StatusError(415, 'bodies are JSON here: send "Content-Type: application/json"')
    default:
      return new StatusError(error.statusCode ?? 400, error.message)
  }
}
