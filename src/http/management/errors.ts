/**
 * Any error of a call under `/oapis` as a Status: what the rooms behind refuse, what the framework refuses, and faults. The calls of the
 * contract answer with the codes that it lists and no others.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { apiGroup, apiVersion } from '../../management/kinds.ts'
import { ManagementError, type ManagementReason } from '../../management/management-error.ts'
import { ImageError } from '../../oci/errors.ts'
import { ApiError, noMediaType } from '../api/api-error.ts'
import { plurals, singularOf, singularOfPlural } from './resources.ts'
import { type StatusDetails, StatusError } from './status.ts'

const codes: Readonly<Record<ManagementReason, number>> = {
  Invalid: 400,
  NotFound: 404,
  AlreadyExists: 409,
  Conflict: 409,
}

/** Makes every error of the scope, a path that isn't there too, a Status. */
export function answerStatuses(scope: FastifyInstance, logger: Logger): void {
  scope.setNotFoundHandler(async request => {
    throw new StatusError(404, whatIsNotThere(request))
  })
  scope.setErrorHandler<FastifyError | StatusError>(async (error, request, reply) => {
    const status = toStatus(error)
    if (status.code === 500) logger.error({ err: error, url: request.url.slice(0, 200) }, 'an API request failed')
    sendStatus(status.about(objectOf(request)), reply)
    return reply
  })
}

/** A path that isn't there, told by its first part that is wrong. */
function whatIsNotThere({ method, url }: FastifyRequest): string {
  const [path = ''] = url.split('?')
  const [, , group = '', version = '', , , plural = ''] = path.split('/').map(part => part.slice(0, 100))
  const known = apiVersion.slice(apiGroup.length + 1)
  if (group !== apiGroup) return `there is no API group "${group}" here: the one that is known is ${apiGroup}`
  if (version !== known) return `${apiGroup} has no version "${version}" here: the one that is known is ${known}`
  if (plural !== '' && singularOfPlural(plural) === undefined) {
    return `there is no kind "${plural}" here: those that are known are ${plurals.join(', ')}`
  }
  return `there is no ${method} ${url.slice(0, 200)}; /docs describes the API`
}

/** What a call is about, by its path. */
function objectOf({ params, routeOptions }: FastifyRequest): StatusDetails {
  const [, plural = ''] = /\/:namespace\/([a-z-]+)/.exec(routeOptions.url ?? '') ?? []
  const name = typeof params === 'object' && params !== null && 'name' in params ? params.name : undefined
  return { kind: singularOfPlural(plural), name: typeof name === 'string' ? name : undefined }
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
    const about = { kind: singularOf(object.kind), name: object.name === '' ? undefined : object.name }
    return new StatusError(codes[reason], error.message, { ...about, reason, problems })
  }
  // Too many wrong tokens are 429 elsewhere; clients of this contract know 401 and its Retry-After.
  if (error instanceof ApiError) return new StatusError(error.status === 429 ? 401 : error.status, error.message)
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

function ofFramework({ statusCode, message }: FastifyError): StatusError {
  if (statusCode === 413) return new StatusError(400, 'the body is too large', { reason: 'RequestEntityTooLarge' })
  const text = statusCode === 415 ? noMediaType : message.slice(0, 200)
  return new StatusError(400, text, { reason: 'BadRequest' })
}
