/** How this edge is, and what it holds. Read by the command line and by whoever operates the site. */
import { Type } from 'typebox'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import type { AgentFacts, PlansFace } from './facts.ts'
import { checkReadiness } from './health.ts'
import { describeLink } from './link-routes.ts'
import { type AgentStatus, AgentStatusSchema, ErrorSchema, HeldImageSchema } from './shapes.ts'

/** How long an external registry may take to say what it holds, in milliseconds. */
const imagesTimeoutMs = 10_000

interface EdgeContext {
  readonly facts: AgentFacts
  readonly plans: PlansFace
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly now: () => number
}

/** `GET /v1/status` and `GET /v1/images`. */
export function addEdgeRoutes(app: ApiInstance, context: EdgeContext): void {
  const tags = ['edge']
  app.get(
    '/v1/status',
    {
      config: { access: 'edge:read' },
      schema: { tags, summary: 'How this edge is', response: { 200: AgentStatusSchema } },
    },
    async (_request, reply) => reply.send(await gatherStatus(context)),
  )
  app.get(
    '/v1/images',
    {
      config: { access: 'images:read' },
      schema: {
        tags,
        summary: 'What the local registry holds',
        response: { 200: Type.Array(HeldImageSchema), 503: ErrorSchema },
      },
    },
    async (_request, reply) => {
      try {
        return reply.send([...(await context.facts.images(AbortSignal.timeout(imagesTimeoutMs)))])
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

async function gatherStatus({ facts, plans, startedAt, now }: EdgeContext): Promise<AgentStatus> {
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
    link: describeLink(facts.link.state),
    storage,
    plans: countPhases(plans),
    outboxMessages: facts.outboxMessages(),
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}
