/**
 * What the API answers, beside plans and statuses: one schema per shape, for the OpenAPI document and for the types of those who
 * supply the facts. The composition root fills them, the command line reads them.
 */
import { type Static, Type } from 'typebox'

const Bytes = Type.Integer({ minimum: 0 })
const Time = (description: string) => Type.String({ format: 'date-time', description })

/** Every code of an API error. */
export const ApiErrorCodeSchema = Type.Enum([
  'INVALID_REQUEST',
  'UNAUTHORIZED',
  'FORBIDDEN',
  'TOO_MANY_LOGINS',
  'CROSS_ORIGIN',
  'NOT_FOUND',
  'PLAN_UNKNOWN',
  'TOKEN_UNKNOWN',
  'NAME_TAKEN',
  'TOO_MANY',
  'VAULT',
  'STALE_REVISION',
  'TOO_LARGE',
  'PLAN_INVALID',
  'UNAVAILABLE',
  'INTERNAL',
])
export type ApiErrorCode = Static<typeof ApiErrorCodeSchema>

export const ErrorSchema = Type.Object(
  {
    error: Type.Object({
      code: ApiErrorCodeSchema,
      message: Type.String(),
      details: Type.Array(Type.String(), { description: 'Every single problem, where there are several' }),
    }),
  },
  { title: 'Error' },
)

export const ReadinessSchema = Type.Object(
  {
    ready: Type.Boolean(),
    problems: Type.Array(Type.String(), { description: 'Why the agent is not ready' }),
    degraded: Type.Array(Type.String(), { description: 'What does not work, without keeping nodes from pulling' }),
  },
  { title: 'Readiness' },
)
export type Readiness = Omit<Static<typeof ReadinessSchema>, 'ready'>

export const HeldImageSchema = Type.Object(
  {
    repository: Type.String(),
    tag: Type.Union([Type.String(), Type.Null()], { description: 'null: kept by digest alone' }),
    digest: Type.String(),
    mediaType: Type.Union([Type.String(), Type.Null()], { description: 'null: an external registry was not asked' }),
    size: Type.Integer({ minimum: 0, description: 'Bytes of the manifest and everything it needs' }),
    source: Type.String({ description: 'Where it came from: a reference, or push' }),
    updatedAt: Time('When the tag was moved here'),
  },
  { title: 'Image' },
)
/** An image that the local registry holds. */
export type HeldImage = Static<typeof HeldImageSchema>

export const BrokerStateSchema = Type.Object({
  url: Type.String({ description: 'Without credentials' }),
  connected: Type.Boolean(),
  since: Type.Union([Time('Since when it is so'), Type.Null()]),
  lastError: Type.Union([Type.String(), Type.Null()]),
})
export type BrokerState = Static<typeof BrokerStateSchema>

export const UpstreamStateSchema = Type.Object({
  host: Type.String(),
  requests: Type.Integer({ minimum: 0 }),
  receivedBytes: Bytes,
  lastError: Type.Union([Type.Object({ at: Time('When'), code: Type.String(), message: Type.String() }), Type.Null()]),
  goodput: Type.Union([Bytes, Type.Null()], { description: 'Bytes a second that it sent of late; null: not measured' }),
  restingUntil: Type.Union([Time('Until when it is asked last, or not while others have the content'), Type.Null()]),
  why: Type.Union([Type.String(), Type.Null()], { description: 'Why it rests' }),
})
/** An upstream registry that was asked since the start, or is remembered from before. */
export type UpstreamState = Static<typeof UpstreamStateSchema>

export const StorageStateSchema = Type.Object({
  usedBytes: Type.Integer({ minimum: 0, description: 'Content of the embedded registry, arriving content included' }),
  freeBytes: Type.Union([Bytes, Type.Null()], { description: 'What the disk can still take' }),
})
export type StorageState = Static<typeof StorageStateSchema>

export const LocalRegistrySchema = Type.Object({
  kind: Type.Enum(['embedded', 'external']),
  address: Type.String({ description: 'host:port, or the URL of an external registry' }),
})
export type LocalRegistryState = Static<typeof LocalRegistrySchema>

const Rate = (description: string) =>
  Type.Union([Type.String(), Type.Null()], { description: `${description}: 20Mbit; null: no limit` })

export const LinkStateSchema = Type.Object(
  {
    maxRate: Rate('The rate that all upstreams share'),
    maxRateBytes: Type.Union([Type.Number(), Type.Null()], { description: 'The same in bytes a second' }),
    configuredMaxRate: Rate('The rate that holds after the next start'),
    rateBytes: Type.Integer({ minimum: 0, description: 'Bytes a second over the last ten seconds' }),
    receivedBytes: Type.Integer({ minimum: 0, description: 'From upstreams since the start: content, answers, heads' }),
    window: Type.Object({
      open: Type.Boolean({ description: "Whether content may come, by the site's own windows" }),
      changesAt: Type.Union([Time('When that changes'), Type.Null()]),
    }),
    budget: Type.Union(
      [
        Type.Object({
          per: Type.Enum(['day', 'week', 'month']),
          accounts: Type.Array(
            Type.Object({
              group: Type.Union([Type.String(), Type.Null()], { description: 'null: the whole site' }),
              limitBytes: Bytes,
              usedBytes: Type.Integer({ minimum: 0, description: 'With the debt of the period before' }),
              leftBytes: Bytes,
              debtBytes: Type.Integer({ minimum: 0, description: 'Beyond the limit: the next period pays for it' }),
              resetsAt: Time('When the next period begins'),
            }),
          ),
        }),
        Type.Null(),
      ],
      { description: 'null: no budget is configured' },
    ),
  },
  { title: 'Link' },
)
export type LinkDocument = Static<typeof LinkStateSchema>

export const AgentStatusSchema = Type.Object(
  {
    edge: Type.String(),
    version: Type.String(),
    startedAt: Time('When the agent started'),
    uptimeSeconds: Type.Integer({ minimum: 0 }),
    ready: Type.Boolean(),
    problems: ReadinessSchema.properties.problems,
    degraded: ReadinessSchema.properties.degraded,
    broker: Type.Union([BrokerStateSchema, Type.Null()], { description: 'null: no broker is configured' }),
    registry: LocalRegistrySchema,
    upstreams: Type.Array(UpstreamStateSchema),
    link: LinkStateSchema,
    storage: StorageStateSchema,
    plans: Type.Record(Type.String(), Type.Integer({ minimum: 0 }), {
      description: 'How many plans are in each phase',
    }),
    outboxMessages: Type.Integer({ minimum: 0, description: 'Messages that the broker has not acknowledged' }),
  },
  { title: 'AgentStatus' },
)
export type AgentStatus = Static<typeof AgentStatusSchema>
