/** Tokens over HTTP: made, listed, revoked. Used by the commands `token …` and by whoever manages the agent. */
import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { AccessError, type AccessErrorCode } from '../../access/errors.ts'
import { roles } from '../../access/roles.ts'
import type { TokenFacts, Tokens } from '../../access/tokens.ts'
import type { ApiAccess } from './access.ts'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import { type ApiErrorCode, ErrorSchema } from './shapes.ts'

export type TokensFace = Pick<Tokens, 'create' | 'list' | 'revoke'>

const Time = (description: string) => Type.String({ format: 'date-time', description })
const MaybeTime = (description: string) => Type.Union([Time(description), Type.Null()], { description })

const GrantSchema = Type.Object(
  {
    role: Type.Enum([...roles]),
    namespace: Type.String({ description: 'One namespace, or * for all of them and the edge itself' }),
  },
  { additionalProperties: false },
)

export const NewTokenSchema = Type.Object(
  {
    name: Type.String({ description: 'Whose it is, as the audit names the caller' }),
    grants: Type.Array(GrantSchema),
    expiresAt: Type.Optional(Time('When it ends; without, it is valid until it is revoked')),
  },
  { additionalProperties: false, title: 'NewToken' },
)
export type NewTokenDocument = Static<typeof NewTokenSchema>

export const TokenSchema = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    grants: Type.Array(GrantSchema),
    state: Type.Enum(['valid', 'expired', 'revoked']),
    createdAt: Time('When it was made'),
    createdBy: Type.String(),
    expiresAt: MaybeTime('When it ends'),
    revokedAt: MaybeTime('When it was revoked'),
    revokedBy: Type.Union([Type.String(), Type.Null()]),
    lastUsedAt: MaybeTime('When it was used last, to within a minute'),
  },
  { title: 'Token' },
)
export type TokenDocument = Static<typeof TokenSchema>

export const CreatedTokenSchema = Type.Object(
  { id: Type.String(), token: Type.String({ description: 'The token itself: it can not be read again' }) },
  { title: 'CreatedToken' },
)
export type CreatedToken = Static<typeof CreatedTokenSchema>

const tags = ['access']

/** `/v1/tokens` and what is below it. */
export function addTokenRoutes(app: ApiInstance, tokens: TokensFace, access: ApiAccess): void {
  app.get(
    '/v1/tokens',
    {
      config: { access: 'tokens:read' },
      schema: { tags, summary: 'Every token, the newest first', response: { 200: Type.Array(TokenSchema) } },
    },
    async (_request, reply) => reply.send(tokens.list().map(toDocument)),
  )
  app.post(
    '/v1/tokens',
    {
      config: { access: 'tokens:create' },
      schema: {
        tags,
        summary: 'Make a token',
        body: NewTokenSchema,
        response: { 201: CreatedTokenSchema, 400: ErrorSchema, 409: ErrorSchema },
      },
    },
    async (request, reply) => {
      const { expiresAt, ...wanted } = request.body
      const ends = expiresAt === undefined ? undefined : Date.parse(expiresAt)
      const { id, secret } = refusing(() => tokens.create({ ...wanted, expiresAt: ends }, access.byOf(request)))
      return reply.code(201).header('cache-control', 'no-store').send({ id, token: secret })
    },
  )
  addRevocation(app, tokens, (request: FastifyRequest) => access.byOf(request))
}

function addRevocation(
  app: ApiInstance,
  tokens: TokensFace,
  byOf: (request: FastifyRequest) => ReturnType<ApiAccess['byOf']>,
): void {
  app.delete(
    '/v1/tokens/:id',
    {
      config: { access: 'tokens:delete' },
      schema: {
        tags,
        summary: 'Revoke a token, at once',
        params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: { 204: Type.Null(), 404: ErrorSchema },
      },
    },
    async (request, reply) => {
      refusing(() => tokens.revoke(request.params.id, byOf(request)))
      return reply.code(204).send(null)
    },
  )
}

const answers: Partial<Record<AccessErrorCode, readonly [status: number, code: ApiErrorCode]>> = {
  invalid: [400, 'INVALID_REQUEST'],
  'name-taken': [409, 'NAME_TAKEN'],
  'not-found': [404, 'TOKEN_UNKNOWN'],
  'too-many': [409, 'TOO_MANY'],
}

/** @throws ApiError for what the tokens refuse. */
function refusing<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    const answer = error instanceof AccessError ? answers[error.code] : undefined
    if (answer === undefined || !(error instanceof AccessError)) throw error
    throw new ApiError(answer[0], answer[1], error.message)
  }
}

function toDocument(facts: TokenFacts): TokenDocument {
  const { createdAt, expiresAt, revokedAt, lastUsedAt, grants, ...rest } = facts
  const time = (at: number | null) => (at === null ? null : new Date(at).toISOString())
  return {
    ...rest,
    grants: grants.map(({ role, namespace }) => ({ role, namespace })),
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: time(expiresAt),
    revokedAt: time(revokedAt),
    lastUsedAt: time(lastUsedAt),
  }
}
