/**
 * The agent's API: health, metrics, plans, events, and its own description. This file puts the routes together, without a port;
 * server.ts gives it one, tests inject requests.
 */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyServerFactory } from 'fastify'
import type { Logger } from 'pino'
import { Type } from 'typebox'
import { maxPlanBytes } from '../../plans/schema.ts'
import { compileValidator, schemaController } from '../compilers.ts'
import { sendStatus, toStatus } from '../management/errors.ts'
import type { ManagementFace } from '../management/face.ts'
import { addManagementRoutes, groupsPath, managementPath } from '../management/routes.ts'
import type { ApiAccess } from './access.ts'
import { ApiError, answerErrors, sendFrameworkError } from './api-error.ts'
import { type AuditFace, addAuditRoutes, addVaultRoutes, type VaultFace } from './audit-routes.ts'
import { addEdgeRoutes } from './edge-routes.ts'
import { EventStreams } from './event-streams.ts'
import type { AgentFacts, PlansFace } from './facts.ts'
import { addHealthRoutes } from './health.ts'
import { addJsonScope } from './json-scope.ts'
import { addLinkRoutes } from './link-routes.ts'
import { createMetrics } from './metrics.ts'
import { refuseForeignPages } from './origin.ts'
import { addPlanRoutes } from './plan-routes.ts'
import { ErrorSchema } from './shapes.ts'
import { addTokenRoutes, type TokensFace } from './token-routes.ts'
import { addUpkeepRoutes, type UpkeepFace } from './upkeep-routes.ts'
import { addWhyRoute } from './why-route.ts'

export interface ApiAppOptions {
  readonly facts: AgentFacts
  readonly plans: PlansFace
  readonly access: ApiAccess
  readonly tokens: TokensFace
  readonly audit: AuditFace
  readonly vault: VaultFace
  readonly upkeep: UpkeepFace
  /** Sources, Repositories and policies; without, there is no image management. */
  readonly management?: ManagementFace
  /** Whether only this machine reaches the API: then browsers need to be kept out. */
  readonly loopback: boolean
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now?: () => number
  readonly serverFactory?: FastifyServerFactory
}

/** The instance as the routes see it: schemas give the types. */
export type ApiInstance = ReturnType<typeof createInstance>

/** The API as a fastify instance that listens nowhere yet. */
export async function buildApiApp(options: ApiAppOptions): Promise<ApiInstance> {
  const { facts, plans, access, logger, now = Date.now } = options
  const app = createInstance(options.serverFactory)
  if (options.loopback) refuseForeignPages(app)
  answerErrors(app, logger)
  access.guard(app, [managementPath])
  await describe(app, facts.version)
  addHealthRoutes(app, facts)
  addMetricsRoute(app, options)
  addPlanRoutes(app, plans, access)
  addWhyRoute(app, facts, plans)
  addEdgeRoutes(app, { facts, plans, now, startedAt: now() })
  addEventsRoute(app, new EventStreams({ events: plans.events, logger }), access)
  addAuditRoutes(app, options.audit)
  addVaultRoutes(app, options.vault, access)
  await addJsonScope(app, scope => {
    addTokenRoutes(scope, options.tokens, access)
    addLinkRoutes(scope, facts.link, access)
    addUpkeepRoutes(scope, options.upkeep, access)
  })
  if (options.management) await addManagementRoutes(app, options.management, logger)
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => reply.send(app.swagger()))
  return app
}

function createInstance(factory: FastifyServerFactory | undefined) {
  const app = fastify({
    logger: false,
    bodyLimit: maxPlanBytes,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 253 }, // the longest name that an object can have
    frameworkErrors: (error, request, reply) =>
      request.url.startsWith(`${groupsPath}/`) ? sendStatus(toStatus(error), reply) : sendFrameworkError(error, reply),
    schemaController,
    ...(factory ? { serverFactory: factory } : {}),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(compileValidator)
  // The schemas of answers describe and type them; they must not quietly drop a field that somebody forgot to describe.
  app.setSerializerCompiler(() => value => JSON.stringify(value))
  return app
}

/** The OpenAPI document from the routes' schemas, and a page that shows it with nothing from the network. */
async function describe(app: ApiInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'edge-image-agent', version, description: 'Gets container images to this edge site.' },
      components: {
        securitySchemes: {
          token: {
            type: 'http',
            scheme: 'bearer',
            description: 'A token of this agent: `edge-image-agent token create`',
          },
        },
      },
      security: [{ token: [] }],
      tags: [
        { name: 'plans', description: 'What has to be here' },
        { name: 'edge', description: 'What is here' },
        { name: 'registry-secrets', description: 'Image sources and their credentials' },
        { name: 'repositories', description: 'Images that are kept in sync' },
        { name: 'image-cleanup-policies', description: 'What is kept' },
        { name: 'access', description: 'Who may do what, and what was done' },
        { name: 'health', description: 'For probes and monitoring' },
      ],
    },
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
}

function addMetricsRoute(app: ApiInstance, { facts, plans }: ApiAppOptions): void {
  const metrics = createMetrics(facts, plans)
  app.get(
    '/metrics',
    {
      config: { access: 'open' },
      schema: {
        tags: ['health'],
        summary: 'Figures for Prometheus',
        response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.metrics()),
  )
}

function addEventsRoute(app: ApiInstance, streams: EventStreams, access: ApiAccess): void {
  app.addHook('onReady', async () => streams.start())
  app.addHook('preClose', async () => streams.stop())
  app.get(
    '/v1/events',
    {
      config: { access: 'plans:read' },
      exposeHeadRoute: false, // it would never end
      schema: {
        tags: ['plans'],
        summary: 'Statuses and progress as they happen, as server-sent events: `status` and `progress`',
        response: { 200: { content: { 'text/event-stream': { schema: Type.String() } } }, 503: ErrorSchema },
      },
    },
    async (request, reply) => {
      if (!streams.add(reply.raw, () => access.mayStill(request, 'plans:read')))
        throw new ApiError(503, 'UNAVAILABLE', 'too many clients follow the events')
      reply.hijack()
      return reply
    },
  )
}
