/**
 * The read side of the OCI distribution API (1.1) over the embedded registry's content: what nodes and tools pull from.
 * This file is its routes and errors, without a port; server.ts gives it one, tests inject requests.
 */
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyServerFactory } from 'fastify'
import type { Logger } from 'pino'
import { answerBlob } from './blobs.ts'
import type { RegistryContent } from './content.ts'
import { faultBody, RegistryFault } from './fault.ts'
import { answerCatalog, answerTags } from './lists.ts'
import { answerManifest } from './manifests.ts'
import { parseRegistryPath } from './path.ts'
import { answerReferrers } from './referrers.ts'
import type { Traffic } from './traffic.ts'

export interface RegistryAppOptions {
  readonly store: RegistryContent
  readonly traffic: Traffic
  readonly logger: Logger
  readonly serverFactory?: FastifyServerFactory
}

/** The distribution API as a fastify instance that listens nowhere yet. */
export function buildRegistryApp(options: RegistryAppOptions): FastifyInstance {
  const { logger, serverFactory } = options
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false, // a HEAD must not run a GET and throw its body away
    bodyLimit: 1024,
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => sendError(error, reply, logger),
    ...(serverFactory ? { serverFactory } : {}),
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('docker-distribution-api-version', 'registry/2.0')
    if (request.method !== 'GET' && request.method !== 'HEAD') throw writesAreOff()
  })
  app.addHook('onResponse', async (request, reply) => {
    logger.debug(
      {
        method: request.method,
        url: request.url.slice(0, 500),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'registry request', // the url has `?ns=`, by which containerd tells for which registry this one stands in
    )
  })
  addRoutes(app, options)
  app.setNotFoundHandler(async () => {
    throw new RegistryFault(404, 'NAME_UNKNOWN', 'the distribution API is below /v2/')
  })
  app.setErrorHandler<FastifyError>((error, _request, reply) => sendError(error, reply, logger))
  return app
}

function addRoutes(app: FastifyInstance, { store, traffic, logger }: RegistryAppOptions): void {
  app.route<{ Params: { '*'?: string } }>({
    method: ['GET', 'HEAD'],
    url: '/v2/*',
    handler: async (request, reply) => {
      const path = parseRegistryPath(request.params['*'] ?? '')
      switch (path.kind) {
        case 'base':
          return reply.send({})
        case 'catalog':
          return answerCatalog(reply, request.query, store)
        case 'tags':
          return answerTags(reply, path.repository, request.query, store)
        case 'manifest':
          return await answerManifest(request, reply, path, { store, traffic })
        case 'blob':
          return await answerBlob(request, reply, path, { store, traffic, logger })
        case 'referrers':
          return answerReferrers(reply, path, request.query, store)
      }
    },
  })
  app.route({ method: ['GET', 'HEAD'], url: '/v2', handler: async (_request, reply) => reply.send({}) })
}

function writesAreOff(): RegistryFault {
  return new RegistryFault(
    405,
    'UNSUPPORTED',
    'this registry is read-only: its write side is off, images come with distribution plans',
    // The body of the refused request is not read, so the connection is of no further use.
    { headers: { allow: 'GET, HEAD', connection: 'close' } },
  )
}

function sendError(error: FastifyError | RegistryFault, reply: FastifyReply, logger: Logger): void {
  const fault = error instanceof RegistryFault ? error : foreignFault(error)
  if (fault.status >= 500) logger.error({ err: error }, 'a registry request failed')
  // A content header set before things went wrong would describe the wrong body.
  for (const name of ['content-length', 'etag', 'docker-content-digest', 'cache-control']) reply.removeHeader(name)
  void reply.code(fault.status).headers(fault.headers).header('content-type', 'application/json').send(faultBody(fault))
}

/** What fastify itself refuses (a path that can't be decoded), and what nobody foresaw. */
function foreignFault(error: FastifyError): RegistryFault {
  const status = error.statusCode ?? 500
  if (status === 404 || status === 414) return new RegistryFault(status, 'NAME_UNKNOWN', error.message)
  if (status < 500) return new RegistryFault(status, 'NAME_INVALID', error.message)
  return new RegistryFault(500, 'UNKNOWN', 'the registry could not answer; its log says why')
}
