/** The link to the upstreams over HTTP: how it is, and its rate, which operators change while the agent runs. */
import { Type } from 'typebox'
import { formatRate, leastRate, parseRate } from '../../oci/quantities.ts'
import type { LinkState } from '../../transfer/link/link.ts'
import type { ApiAccess } from './access.ts'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import type { AgentFacts } from './facts.ts'
import { ErrorSchema, type LinkDocument, LinkStateSchema } from './shapes.ts'

const LinkChangeSchema = Type.Object(
  {
    maxRate: Type.Union([Type.String({ maxLength: 32 }), Type.Null()], {
      description: 'Bits or bytes a second: 20Mbit, 2.5MB; null: no limit',
    }),
  },
  { additionalProperties: false, title: 'LinkChange' },
)

const tags = ['edge']

/** `GET /v1/link` and `PATCH /v1/link`. */
export function addLinkRoutes(app: ApiInstance, link: AgentFacts['link'], access: ApiAccess): void {
  app.get(
    '/v1/link',
    {
      config: { access: 'edge:read' },
      schema: { tags, summary: 'The link: rate, window, budget', response: { 200: LinkStateSchema } },
    },
    async (_request, reply) => reply.send(describeLink(link.state)),
  )
  app.patch(
    '/v1/link',
    {
      config: { access: 'edge:change' },
      schema: {
        tags,
        summary: 'Change the rate of the link at once; the configured one comes back with the next start',
        body: LinkChangeSchema,
        response: { 200: LinkStateSchema, 400: ErrorSchema },
      },
    },
    async (request, reply) => {
      const { maxRate } = request.body
      const rate = maxRate === null ? undefined : readRate(maxRate)
      link.setMaxRate(rate)
      access.record(request, {
        action: 'edge:change',
        outcome: 'success',
        object: { kind: 'Link', name: 'maxRate' },
        detail: rate === undefined ? { reason: 'no limit' } : { bytes: rate },
      })
      return reply.send(describeLink(link.state))
    },
  )
}

/** The state of the link as the API tells it. */
export function describeLink(state: LinkState): LinkDocument {
  const { maxRate, configuredMaxRate, window, budget } = state
  return {
    maxRate: maxRate === undefined ? null : formatRate(maxRate),
    maxRateBytes: maxRate ?? null,
    configuredMaxRate: configuredMaxRate === undefined ? null : formatRate(configuredMaxRate),
    rateBytes: state.rate,
    receivedBytes: state.receivedBytes,
    window: { open: window.open, changesAt: window.changesAt === undefined ? null : formatTime(window.changesAt) },
    budget: budget
      ? {
          per: budget.per,
          accounts: budget.accounts.map(({ group, limit, used, left, debt, resetsAt }) => ({
            group,
            ...{ limitBytes: limit, usedBytes: used, leftBytes: left, debtBytes: debt },
            resetsAt: formatTime(resetsAt),
          })),
        }
      : null,
  }
}

function readRate(text: string): number {
  const rate = parseRate(text)
  if (rate !== undefined && rate >= leastRate) return rate
  const message = `maxRate: expected a rate of at least 1kbit, such as 20Mbit or 2.5MB, got "${text}"`
  throw new ApiError(400, 'INVALID_REQUEST', message)
}

function formatTime(ms: number): string {
  return new Date(ms).toISOString()
}
