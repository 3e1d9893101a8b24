/**
 * The OCI distribution API (1.1) over the embedded registry's content: what nodes and tools pull from and, where the write side is on,
 * what clients push to. This file is its routes and errors, without a port; server.ts gives it one, tests inject requests.
 */
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerFactory,
} from 'fastify'
import type { Logger } from 'pino'
import { schemaController } from '../compilers.ts'
import { accessOf, admit, checkMethod, decide } from './admission.ts'
import { type Authorize, pullOnly } from './authorize.ts'
import { answerBlob } from './blobs.ts'
import type { RegistryContent } from './content.ts'
import { deleteBlob, deleteManifest } from './deletions.ts'
import { toFault } from './failures.ts'
import { faultBody, RegistryFault } from './fault.ts'
import { answerCatalog, answerTags } from './lists.ts'
import { answerManifest } from './manifests.ts'
import { parseRegistryPath, type RegistryPath } from './path.ts'
import { putManifest } from './put-manifest.ts'
import { answerReferrers } from './referrers.ts'
import { drain } from './request-body.ts'
import { addTokenRoute, type IssuePass } from './token-route.ts'
import type { Traffic } from './traffic.ts'
import { refuseUnreadable } from './unreadable.ts'
import { appendUpload, beginUpload, cancelUpload, finishUpload, tellUpload } from './uploads.ts'
import type { WriteSide } from './write-side.ts'

export interface RegistryAppOptions {
  readonly store: RegistryContent
  readonly traffic: Traffic
  readonly logger: Logger
  /** Asked before every request; without it anyone pulls and nobody writes. */
  readonly authorize?: Authorize
  /** The token service of the Bearer flow; without it there is none. */
  readonly issuePass?: IssuePass
  /** Pushes and deletes; without it they are answered with 405. */
  readonly write?: WriteSide
  readonly serverFactory?: FastifyServerFactory
}

/** The distribution API as a fastify instance that listens nowhere yet. */
export function buildRegistryApp(options: RegistryAppOptions): FastifyInstance {
  const { logger, serverFactory } = options
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false, // a HEAD must not run a GET and throw its body away
    bodyLimit: 1024,
    schemaController,
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => sendError(error, reply, logger),
    clientErrorHandler: refuseUnreadable,
    ...(serverFactory ? { serverFactory } : {}),
  })
  // Bodies are streams here, whatever they are called: blobs go to the disk as they come, manifests are read with a limit of their own.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', async (request, reply) => {
    reply.header('docker-distribution-api-version', 'registry/2.0')
    if (!options.write && request.method !== 'GET' && request.method !== 'HEAD') throw writesAreOff()
  })
  app.addHook('onResponse', async (request, reply) => {
    drain(request.raw)
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
  if (options.issuePass) addTokenRoute(app, options.issuePass)
  app.setNotFoundHandler(async ({ method, url }) => {
    const path = /^\/v2\/([^?]*)/.exec(url)?.[1]
    if (path !== undefined) checkMethod(method, parseRegistryPath(path)) // one that the API has nowhere
    throw new RegistryFault(404, 'NAME_UNKNOWN', 'the distribution API is below /v2/')
  })
  app.setErrorHandler<FastifyError>((error, _request, reply) => sendError(error, reply, logger))
  return app
}

function addRoutes(app: FastifyInstance, options: RegistryAppOptions): void {
  const { write, traffic, authorize = pullOnly } = options
  app.route<{ Params: { '*'?: string } }>({
    method: ['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE'],
    url: '/v2/*',
    handler: async (request, reply) => {
      const path = parseRegistryPath(request.params['*'] ?? '')
      checkMethod(request.method, path)
      const caller = await admit(request, accessOf(request.method, path), authorize)
      const mayPull = async (repository: string) =>
        (await decide(request, { action: 'pull', repository }, authorize)).outcome === 'allow'
      if (write && writes(request, path))
        return await answerWrite(request, reply, path, { ...write, traffic, caller, from: request.ip, mayPull })
      return await answerRead(request, reply, path, options)
    },
  })
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v2',
    handler: async (request, reply) => {
      await admit(request, { action: 'pull', base: true }, authorize)
      return reply.send({})
    },
  })
}

/** Whether the write side answers; how far an upload is belongs to it, too. */
function writes({ method }: FastifyRequest, { kind }: RegistryPath): boolean {
  return kind === 'upload' || (method !== 'GET' && method !== 'HEAD')
}

async function answerRead(
  request: FastifyRequest,
  reply: FastifyReply,
  path: RegistryPath,
  { store, traffic, logger, write }: RegistryAppOptions,
): Promise<FastifyReply> {
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
      if (request.method === 'HEAD') write?.content.keepForPush(path.repository, path.digest)
      return await answerBlob(request, reply, path, { store, traffic, logger })
    case 'referrers':
      return answerReferrers(reply, path, request.query, store)
    case 'uploads':
    case 'upload':
      throw writesAreOff()
  }
}

interface AdmittedWrite extends WriteSide {
  readonly caller: string | undefined
  readonly from: string
  readonly traffic: Traffic
  readonly mayPull: (repository: string) => Promise<boolean>
}

async function answerWrite(
  request: FastifyRequest,
  reply: FastifyReply,
  path: RegistryPath,
  side: AdmittedWrite,
): Promise<FastifyReply> {
  try {
    return await takeWrite(request, reply, path, side)
  } catch (error) {
    if (['POST', 'PATCH', 'PUT'].includes(request.method)) side.traffic.countFailedPush()
    throw error
  }
}

async function takeWrite(
  request: FastifyRequest,
  reply: FastifyReply,
  path: RegistryPath,
  side: AdmittedWrite,
): Promise<FastifyReply> {
  if (path.kind === 'uploads') return await beginUpload(request, reply, path, side)
  if (path.kind === 'upload') return await answerUpload(request, reply, path, side)
  if (path.kind === 'manifest' && request.method === 'PUT') return await putManifest(request, reply, path, side)
  if (path.kind === 'manifest') return await deleteManifest(reply, path, side)
  if (path.kind === 'blob') return deleteBlob(reply, path, side)
  throw new Error(`${request.method} was let in at ${path.kind}`)
}

async function answerUpload(
  request: FastifyRequest,
  reply: FastifyReply,
  path: Extract<RegistryPath, { kind: 'upload' }>,
  side: AdmittedWrite,
): Promise<FastifyReply> {
  const { content } = side
  switch (request.method) {
    case 'PATCH':
      return await appendUpload(request, reply, path, content)
    case 'PUT':
      return await finishUpload(request, reply, path, side)
    case 'DELETE':
      return await cancelUpload(reply, path, content)
    default:
      return tellUpload(reply, path, content)
  }
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
  const fault = toFault(error)
  // A lost link is no fault of the registry, and nobody hears the answer.
  if (reply.request.raw.errored) logger.debug({ reason: error.message }, 'a client left before the end of its request')
  else if (fault.status >= 500) logger.error({ err: error }, 'a registry request failed')
  // A content header set before things went wrong would describe the wrong body.
  for (const name of ['content-length', 'etag', 'docker-content-digest', 'cache-control']) reply.removeHeader(name)
  void reply.code(fault.status).headers(fault.headers).header('content-type', 'application/json').send(faultBody(fault))
}
