/** The collection of what nothing leads to any more, over HTTP: begun, followed, and tried without effect. Used by `collect`. */
import { type Static, Type } from 'typebox'
import type { Lifecycle } from '../../management/lifecycle/lifecycle.ts'
import type { ApiAccess } from './access.ts'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import { ErrorSchema } from './shapes.ts'

export type UpkeepFace = Pick<Lifecycle, 'begin' | 'preview' | 'status'>

const Count = (description: string) => Type.Integer({ minimum: 0, description })

export const CollectedSchema = Type.Object(
  {
    manifests: Count('Manifests that went out of repositories'),
    blobs: Count('Blobs that went out of repositories'),
    files: Count('Files that went: content that no repository shows any more'),
    bytesFreed: Count('Their bytes'),
  },
  { title: 'Collected' },
)

export const CollectionSchema = Type.Object(
  {
    registry: Type.Enum(['embedded', 'external']),
    running: Type.Boolean({ description: 'Whether one goes on, whoever began it' }),
    lastAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], {
      description: 'When the last one since the start of the agent ended; null: none did yet',
    }),
    last: Type.Union([CollectedSchema, Type.Null()], { description: 'What it took; null beside an external registry' }),
    error: Type.Union([Type.String(), Type.Null()], { description: 'Why the newest one did not come to its end' }),
    limits: Type.Array(Type.String(), { description: "What can't be done with the local registry" }),
  },
  { title: 'Collection' },
)
export type CollectionDocument = Static<typeof CollectionSchema>

/** A large store is looked through; our own command line waits a little longer. */
const previewMs = 25_000

const tags = ['edge']

/** `/v1/collection`. */
export function addUpkeepRoutes(app: ApiInstance, upkeep: UpkeepFace, access: ApiAccess): void {
  app.get(
    '/v1/collection',
    {
      config: { access: 'images:read' },
      schema: { tags, summary: 'How the collection of unneeded content is', response: { 200: CollectionSchema } },
    },
    async (_request, reply) => reply.send(describe(upkeep)),
  )
  app.post(
    '/v1/collection',
    {
      config: { access: 'images:delete' },
      schema: {
        tags,
        summary: 'Take away what nothing leads to any more; with dryRun, tell what that would be',
        querystring: Type.Object({ dryRun: Type.Optional(Type.Boolean()) }, { additionalProperties: false }),
        response: { 200: CollectedSchema, 202: CollectionSchema, 409: ErrorSchema, 503: ErrorSchema },
      },
    },
    async (request, reply) => {
      if (request.query.dryRun === true) return reply.send(await preview(upkeep))
      upkeep.begin(access.byOf(request))
      return reply.code(202).send(describe(upkeep))
    },
  )
}

async function preview(upkeep: UpkeepFace): Promise<Static<typeof CollectedSchema>> {
  const signal = AbortSignal.timeout(previewMs)
  try {
    const report = await upkeep.preview(signal)
    if (report !== undefined) return toCollected(report)
  } catch (error) {
    if (!signal.aborted) throw error
    throw new ApiError(503, 'UNAVAILABLE', `the store could not be looked through within ${previewMs / 1000} s`)
  }
  throw new ApiError(409, 'UNAVAILABLE', 'an external registry collects by itself, and does not tell what', [
    ...upkeep.status().limits,
  ])
}

function describe(upkeep: UpkeepFace): CollectionDocument {
  const { registry, limits, collection } = upkeep.status()
  const { running, lastAt, last, error } = collection
  return {
    ...{ registry, running, error: error ?? null, limits: [...limits] },
    lastAt: lastAt === undefined ? null : new Date(lastAt).toISOString(),
    last: last === undefined ? null : toCollected(last),
  }
}

function toCollected({
  manifests,
  links,
  files,
  bytes,
}: Readonly<Record<'manifests' | 'links' | 'files' | 'bytes', number>>) {
  return { manifests, blobs: links, files, bytesFreed: bytes }
}
