/** For the one who keeps the agent running: alive, ready, and how it is. */
import { Type } from 'typebox'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import type { AgentFacts, PlansFace } from './facts.ts'
import {
  type AgentStatus,
  AgentStatusSchema,
  ErrorSchema,
  HeldImageSchema,
  type Readiness,
  ReadinessSchema,
} from './shapes.ts'

/** How long a check of the local registry may take, in milliseconds: less than a probe's own patience. */
const checkTimeoutMs = 5_000

interface HealthContext {
  readonly facts: AgentFacts
  readonly plans: PlansFace
  readonly startedAt: number
  readonly now: () => number
}

/** `GET /healthz` and `GET /readyz`. A broker that is away degrades the agent: an edge that is offline must keep serving. */
export function addHealthRoutes(app: ApiInstance, context: HealthContext): void {
  const tags = ['health']
  app.get(
    '/healthz',
    {
      schema: {
        tags,
        summary: 'Whether the process can work',
        response: { 200: Type.Object({ status: Type.Literal('ok') }) },
      },
    },
    async (_request, reply) => reply.send({ status: 'ok' }),
  )
  app.get(
    '/readyz',
    {
      schema: {
        tags,
        summary: 'Whether state is open and the local registry answers',
        response: { 200: ReadinessSchema, 503: ReadinessSchema },
      },
    },
    async (_request, reply) => {
      const readiness = await checkReadiness(context.facts)
      const ready = readiness.problems.length === 0
      return reply.code(ready ? 200 : 503).send({ ready, ...readiness })
    },
  )
}

/** `GET /v1/status` and `GET /v1/images`. */
export function addStatusRoutes(app: ApiInstance, context: HealthContext): void {
  const tags = ['edge']
  app.get(
    '/v1/status',
    { schema: { tags, summary: 'How this edge is', response: { 200: AgentStatusSchema } } },
    async (_request, reply) => reply.send(await gatherStatus(context)),
  )
  app.get(
    '/v1/images',
    {
      schema: {
        tags,
        summary: 'What the local registry holds',
        response: { 200: Type.Array(HeldImageSchema), 503: ErrorSchema },
      },
    },
    async (_request, reply) => {
      try {
        return reply.send([...(await context.facts.images(AbortSignal.timeout(checkTimeoutMs)))])
      } catch (error) {
        if (!isTimeout(error)) throw error
        throw new ApiError(503, 'UNAVAILABLE', 'the local registry does not answer')
      }
    },
  )
}

/** How many plans are in each phase. */
export function countPhases(plans: Pick<PlansFace, 'list'>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { phase } of plans.list()) counts[phase] = (counts[phase] ?? 0) + 1
  return counts
}

async function gatherStatus({ facts, plans, startedAt, now }: HealthContext): Promise<AgentStatus> {
  const [readiness, storage] = await Promise.all([checkReadiness(facts), facts.storage()])
  return {
    edge: facts.edge,
    version: facts.version,
    startedAt: new Date(startedAt).toISOString(),
    uptimeSeconds: Math.max(0, Math.floor((now() - startedAt) / 1000)),
    ready: readiness.problems.length === 0,
    ...readiness,
    broker: facts.broker() ?? null,
    registry: facts.registry(),
    upstreams: [...facts.upstreams()],
    storage,
    plans: countPhases(plans),
    outboxMessages: facts.outboxMessages(),
  }
}

async function checkReadiness(facts: AgentFacts): Promise<Readiness> {
  try {
    return await facts.readiness(AbortSignal.timeout(checkTimeoutMs))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { problems: [`the check itself failed: ${reason}`], degraded: [] }
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}
