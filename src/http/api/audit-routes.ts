/** The audit over HTTP: listed, proven, exported; and the rotation of the vault's key. */
import { Readable } from 'node:stream'
import { type Static, Type } from 'typebox'
import type { Audit } from '../../access/audit.ts'
import { AccessError } from '../../access/errors.ts'
import type { Vault } from '../../access/vault.ts'
import type { ApiAccess } from './access.ts'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import { ErrorSchema } from './shapes.ts'

export type AuditFace = Pick<Audit, 'list' | 'verify' | 'export'>
export type VaultFace = Pick<Vault, 'rotate'>

const Maybe = Type.Union([Type.String(), Type.Null()])
const Hash = Type.String({ description: 'SHA-256, hex' })

export const AuditRecordSchema = Type.Object(
  {
    seq: Type.Integer({ minimum: 1 }),
    at: Type.String({ format: 'date-time' }),
    who: Type.String(),
    action: Type.String({ description: 'The right that was used or missing; `login` for wrong tokens' }),
    object: Type.Object({ kind: Type.String(), namespace: Maybe, name: Type.String() }),
    outcome: Type.String({ description: 'success, failure or denied' }),
    from: Type.Union([Type.String(), Type.Null()], {
      description: 'The address of the call; null: the agent by itself',
    }),
    detail: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
    previous: Type.String({ description: 'The hash of the record before' }),
    hash: Type.String({ description: 'SHA-256 of this record as compact JSON, without `hash`' }),
  },
  { title: 'AuditRecord' },
)
export const AuditPageSchema = Type.Object(
  { items: Type.Array(AuditRecordSchema), totalItems: Type.Integer({ minimum: 0 }) },
  { title: 'AuditPage' },
)
export type AuditPage = Static<typeof AuditPageSchema>

export const VerificationSchema = Type.Object(
  {
    ok: Type.Boolean(),
    checked: Type.Integer({ minimum: 0, description: 'Records that are as they were written' }),
    firstSeq: Type.Integer({ minimum: 1, description: 'The first that is kept' }),
    since: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'When that was written' }),
    head: Type.Object({ seq: Type.Integer({ minimum: 0 }), hash: Hash }),
    brokenAt: Type.Optional(Type.Integer({ description: 'The first record that is not as it was written' })),
    reason: Type.Optional(Type.Enum(['changed', 'missing', 'added'])),
  },
  { title: 'AuditVerification' },
)
export type VerificationDocument = Static<typeof VerificationSchema>

export const RotationSchema = Type.Object(
  {
    keyId: Type.String({ description: 'The key that everything is encrypted with now' }),
    count: Type.Integer({ minimum: 0, description: 'Secrets that were encrypted anew' }),
    unneeded: Type.Array(Type.String(), { description: 'Keys in the file that nothing needs any more' }),
  },
  { title: 'VaultRotation' },
)
export type RotationDocument = Static<typeof RotationSchema>

const text = (description: string) => Type.Optional(Type.String({ maxLength: 300, description }))
const time = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }))

const QuerySchema = Type.Object(
  {
    user: text('Who did it'),
    action: text('Such as sources:delete'),
    kind: text('Of the object'),
    namespace: text('Of the object'),
    object: text("The object's name"),
    outcome: Type.Optional(Type.Enum(['success', 'failure', 'denied'])),
    since: time('From then on'),
    until: time('Before then'),
    page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  },
  { additionalProperties: false },
)

const tags = ['access']

/** `/v1/audit` and what is below it. */
export function addAuditRoutes(app: ApiInstance, audit: AuditFace): void {
  const config = { access: 'audit:read' } as const
  app.get(
    '/v1/audit',
    {
      config,
      schema: {
        tags,
        summary: 'What was done and what was denied, the newest first',
        querystring: QuerySchema,
        response: { 200: AuditPageSchema, 400: ErrorSchema },
      },
    },
    async (request, reply) => {
      const { since, until, ...query } = request.query
      const { items, totalItems } = audit.list({ ...query, since: toTime(since), until: toTime(until) })
      return reply.send({ items: items.map(({ detail, ...item }) => ({ ...item, detail: { ...detail } })), totalItems })
    },
  )
  app.get(
    '/v1/audit/verify',
    {
      config,
      schema: { tags, summary: 'Whether the records are as they were written', response: { 200: VerificationSchema } },
    },
    async (_request, reply) => reply.send(await audit.verify()),
  )
  app.get(
    '/v1/audit/export',
    {
      config,
      exposeHeadRoute: false, // it would read everything and throw it away
      schema: {
        tags,
        summary: 'Every record, the oldest first, as lines of JSON',
        response: {
          200: { content: { 'application/x-ndjson': { schema: Type.Unsafe<Readable>({ type: 'string' }) } } },
        },
      },
    },
    async (_request, reply) => reply.type('application/x-ndjson').send(Readable.from(audit.export())),
  )
}

/** `POST /v1/vault/rotate`. */
export function addVaultRoutes(app: ApiInstance, vault: VaultFace, access: ApiAccess): void {
  app.post(
    '/v1/vault/rotate',
    {
      config: { access: 'vault:rotate' },
      schema: {
        tags,
        summary: 'Encrypt every stored secret under a new key',
        response: { 200: RotationSchema, 409: ErrorSchema },
      },
    },
    async (request, reply) => {
      const event = { action: 'vault:rotate', object: { kind: 'Vault', name: 'vault' } } as const
      try {
        const { keyId, count, unneeded } = await vault.rotate()
        access.record(request, { ...event, outcome: 'success', detail: { keyId, count } })
        return reply.send({ keyId, count, unneeded: [...unneeded] })
      } catch (error) {
        if (!(error instanceof AccessError)) throw error
        access.record(request, { ...event, outcome: 'failure', detail: { reason: error.code } })
        throw new ApiError(409, 'VAULT', error.message, error.hint === undefined ? [] : [error.hint])
      }
    },
  )
}

function toTime(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text)
}
