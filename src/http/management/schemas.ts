/** The bodies and answers of image management as its OpenAPI document tells them, made from the schemas that check them. */
import { type TSchema, Type } from 'typebox'
import { apiVersion, ImageCleanupPolicySchema, RegistrySecretSchema, RepositorySchema } from '../../management/kinds.ts'
import type { Resource } from './resources.ts'
import { StatusSchema } from './status.ts'

const documents = {
  RegistrySecret: RegistrySecretSchema,
  Repository: RepositorySchema,
  ImageCleanupPolicy: ImageCleanupPolicySchema,
} as const

/** Fields of `spec` that no answer has. */
const unread: Readonly<Record<string, readonly string[]>> = { RegistrySecret: ['password'] }

/** A kind as it is sent, and as it is told. */
export function schemasOf({ kind }: Resource): Record<'sent' | 'told' | 'list', TSchema> {
  const { metadata, spec } = documents[kind].properties
  const sent = describe(documents[kind], { title: kind })
  const told = Type.Object(
    {
      apiVersion: Type.Literal(apiVersion),
      kind: Type.Literal(kind),
      metadata: describe(metadata, {}),
      spec: describe(without(spec, unread[kind] ?? []), {}),
      status: Type.Record(Type.String(), Type.Unknown()),
    },
    { title: `${kind} as it is read` },
  )
  return { sent, told, list: ListOf(told, { title: `${kind}List`, kind: `${kind}List` }) }
}

/** A page of anything. */
export function ListOf(item: TSchema, { title, kind }: { title: string; kind: string }) {
  return Type.Object(
    {
      apiVersion: Type.Literal(apiVersion),
      kind: Type.Literal(kind),
      metadata: Type.Object({}),
      items: Type.Array(item),
      totalItems: Type.Integer({ description: 'On all pages together' }),
    },
    { title },
  )
}

/** The errors that a call may answer, beside 401, 403 and 500. */
export function errors(...codes: readonly number[]): Record<number, TSchema> {
  return Object.fromEntries([401, 403, 500, ...codes].map(code => [code, StatusSchema]))
}

export const PatchSchema = Type.Object(
  {
    metadata: Type.Object({
      annotations: Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()]), {
        description: '`theriseunion.io/display-name` and `theriseunion.io/description`; null removes one',
      }),
    }),
  },
  { title: 'Patch' },
)

export const DeletionSchema = Type.Object(
  {
    items: Type.Array(
      Type.Object({
        metadata: Type.Object({
          name: Type.String(),
          namespace: Type.Optional(Type.String({ description: 'Needed where the path names `_all_`' })),
        }),
      }),
      { description: 'Objects as they were read, or their names alone', minItems: 1, maxItems: 1000 },
    ),
  },
  { title: 'Deletion' },
)

export const OutcomeSchema = Type.Object(
  { success: Type.Boolean(), message: Type.String({ description: 'In plain words' }) },
  { title: 'Outcome' },
)

/** A document, or a list of them. */
export function OneOrMany(document: TSchema, { kind }: Resource): TSchema {
  const many = Type.Object(
    { kind: Type.Optional(Type.Literal(`${kind}List`)), items: Type.Array(document, { minItems: 1, maxItems: 1000 }) },
    { title: `${kind}List to create` },
  )
  return Type.Union([document, many])
}

/** JSON Schema's own words: what a right value is, is a description; a secret is only written. */
function describe(schema: TSchema, more: Readonly<Record<string, unknown>>): TSchema {
  const text = JSON.stringify(schema, (_, value: unknown) => (isField(value) ? toJsonSchema(value) : value))
  const plain: Record<string, unknown> = JSON.parse(text)
  return { ...plain, ...more }
}

interface Field {
  readonly expected: string
  readonly description?: string
  readonly example?: unknown
  readonly secret?: boolean
}

function isField(value: unknown): value is Field {
  return typeof value === 'object' && value !== null && 'expected' in value && typeof value.expected === 'string'
}

function toJsonSchema({ expected, description, example, secret, ...rest }: Field) {
  return {
    ...rest,
    description: description === undefined ? expected : `${description}: ${expected}`,
    ...(example === undefined ? {} : { examples: [example] }),
    ...(secret ? { writeOnly: true } : {}),
  }
}

function without(schema: TSchema, fields: readonly string[]): TSchema {
  if (!Type.IsObject(schema) || fields.length === 0) return schema
  return Type.Omit(schema, [...fields])
}
