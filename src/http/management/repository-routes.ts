/** What can be done with a Repository alone: sync it, look at its runs, and go through its versions. Contract, "Repository" and "Calls". */
import { Type } from 'typebox'
import { isMapping } from '../../management/fields.ts'
import { SyncRunShape } from '../../management/repository-object.ts'
import { NameParams, oneNamespace, readText } from './query.ts'
import { repositories as resource } from './resources.ts'
import { errors, OutcomeSchema, schemasOf } from './schemas.ts'
import { type Scope, signalOf } from './scope.ts'
import { StatusError } from './status.ts'

/** An external registry is asked for its manifests, one by one. */
const versionsTimeoutMs = 60_000

const tags = [resource.plural]
const path = `/namespaces/:namespace/${resource.plural}/:name`
const Bytes = Type.Integer({ minimum: 0 })
const Time = Type.String({ format: 'date-time' })

const VersionSchema = Type.Object(
  {
    tag: Type.String(),
    digest: Type.String(),
    size: Type.Integer({ minimum: 0, description: 'Bytes of the image, all of its platforms here' }),
    updatedAt: Type.Optional(Time),
  },
  { title: 'Version' },
)
const Layers = Type.Array(Type.Object({ digest: Type.String(), size: Bytes }))
const DifferenceSchema = Type.Object(
  {
    onlyInA: Layers,
    onlyInB: Layers,
    shared: Layers,
    bytes: Type.Object({ onlyInA: Bytes, onlyInB: Bytes, shared: Bytes }),
  },
  { title: 'Difference' },
)
const RollbackSchema = Type.Object(
  {
    version: Type.String({ description: 'The tag or digest to go back to' }),
    tag: Type.Optional(Type.String({ description: 'Which tag goes back; needed where the Repository has a pattern' })),
  },
  { title: 'Rollback' },
)

export function addRepositoryRoutes(scope: Scope): void {
  addSync(scope)
  addVersions(scope)
  addRollback(scope)
}

function addSync({ app, gate, face }: Scope): void {
  app.post(
    `${path}/sync`,
    {
      schema: {
        tags,
        summary: 'Queue a sync',
        params: NameParams,
        response: { 200: OutcomeSchema, ...errors(404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, 'repositories:sync', { resource, namespace, name })
      return reply.send(face.repositories.sync(namespace, name, by))
    },
  )
  const Runs = Type.Object({ items: Type.Array(SyncRunShape), totalItems: Type.Integer() })
  app.get(
    `${path}/runs`,
    {
      schema: {
        tags,
        summary: 'Its last syncs, the newest first',
        params: NameParams,
        response: { 200: Runs, ...errors(404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      gate.enter(request, 'repositories:read', { resource, namespace, name })
      const items = [...face.repositories.runs(namespace, name)]
      return reply.send({ items, totalItems: items.length })
    },
  )
}

function addVersions({ app, gate, face }: Scope): void {
  const Versions = Type.Object({ items: Type.Array(VersionSchema), totalItems: Type.Integer() })
  app.get(
    `${path}/versions`,
    {
      schema: {
        tags,
        summary: 'The tags of its path that are here, the newest version first',
        params: NameParams,
        response: { 200: Versions, ...errors(404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      gate.enter(request, 'repositories:read', { resource, namespace, name })
      const items = [...(await face.repositories.versions(namespace, name, signalOf(reply, versionsTimeoutMs)))]
      return reply.send({ items, totalItems: items.length })
    },
  )
  const version = Type.String({ description: 'A tag or a digest' })
  app.get(
    `${path}/compare`,
    {
      schema: {
        tags,
        summary: 'What two versions share, and what each has alone',
        params: NameParams,
        querystring: Type.Object({ a: version, b: version }),
        response: { 200: DifferenceSchema, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      gate.enter(request, 'repositories:read', { resource, namespace, name })
      const [a, b] = [readText(request.query, 'a'), readText(request.query, 'b')]
      const problems = Object.entries({ a, b }).flatMap(([key, text]) =>
        text === '' ? [`${key}: missing: expected a tag or a digest, e.g. "1.27"`] : [],
      )
      if (problems.length > 0)
        throw new StatusError(400, problems.join('; '), { problems, name, kind: resource.singular })
      const signal = signalOf(reply, versionsTimeoutMs)
      const { onlyInA, onlyInB, shared, bytes } = await face.repositories.compare(namespace, name, a, b, signal)
      return reply.send({ onlyInA: [...onlyInA], onlyInB: [...onlyInB], shared: [...shared], bytes })
    },
  )
}

function addRollback({ app, gate, face }: Scope): void {
  app.post(
    `${path}/rollback`,
    {
      schema: {
        tags,
        summary: 'Point its tag at an earlier version, until somebody starts a sync',
        params: NameParams,
        body: RollbackSchema,
        response: { 200: schemasOf(resource).told, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, 'repositories:change', { resource, namespace, name })
      const to = readRollback(request.body, name)
      const signal = signalOf(reply, versionsTimeoutMs)
      return reply.send(await face.repositories.rollBack(namespace, name, to, by, signal))
    },
  )
}

function readRollback(body: unknown, name: string): { version: string; tag?: string } {
  const { version, tag, ...others } = isMapping(body) ? body : {}
  const problems = Object.keys(others).map(key => `${key.slice(0, 100)}: unknown field`)
  const isText = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= 200
  if (!isText(version)) problems.push('version: expected a tag or a digest, e.g. "1.26"')
  if (tag !== undefined && !isText(tag)) problems.push('tag: expected a tag, e.g. "1.27"')
  if (problems.length > 0 || typeof version !== 'string') {
    throw new StatusError(400, problems.join('; '), { problems, name, kind: resource.singular })
  }
  return { version, ...(typeof tag === 'string' ? { tag } : {}) }
}
