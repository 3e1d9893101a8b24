/** For probes: whether the agent is alive, and whether it is ready. */
import { Type } from 'typebox'
import type { ApiInstance } from './app.ts'
import type { AgentFacts } from './facts.ts'
import { type Readiness, ReadinessSchema } from './shapes.ts'

/** How long a check of the local registry may take, in milliseconds: less than a probe's own patience. */
const checkTimeoutMs = 5_000

/** `GET /healthz` and `GET /readyz`. A broker that is away degrades the agent: an edge that is offline must keep serving. */
export function addHealthRoutes(app: ApiInstance, facts: AgentFacts): void {
  const tags = ['health']
  app.get(
    '/healthz',
    {
      config: { access: 'open' },
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
      config: { access: 'open' },
      schema: {
        tags,
        summary: 'Whether state is open and the local registry answers',
        response: { 200: ReadinessSchema, 503: ReadinessSchema },
      },
    },
    async (_request, reply) => {
      const readiness = await checkReadiness(facts)
      const ready = readiness.problems.length === 0
      return reply.code(ready ? 200 : 503).send({ ready, ...readiness })
    },
  )
}

/** What keeps the agent from being ready; a check that fails or takes too long is a problem itself. */
export async function checkReadiness(facts: AgentFacts): Promise<Readiness> {
  try {
    return await facts.readiness(AbortSignal.timeout(checkTimeoutMs))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { problems: [`the check itself failed: ${reason}`], degraded: [] }
  }
}
