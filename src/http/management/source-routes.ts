/** What can be done with a source alone: test it, and look at what it offers. Contract, "Calls". */
import { type Static, Type } from 'typebox'
import { checkFields, isMapping } from '../../management/fields.ts'
import { RegistrySecretSchema } from '../../management/kinds.ts'
import { isRepository } from '../../oci/reference.ts'
import { NameParams, oneNamespace, type RawQuery, readText } from './query.ts'
import { registrySecrets } from './resources.ts'
import { errors, OutcomeSchema } from './schemas.ts'
import { type Scope, signalOf } from './scope.ts'
import { StatusError } from './status.ts'

/** A registry behind a thin link may take its time; a person waits no longer. */
const registryTimeoutMs = 60_000
const maxNames = 1000

const { domain, username, password } = RegistrySecretSchema.properties.spec.properties
const TestSchema = Type.Partial(Type.Object({ domain, username, password }), {
  title: 'Credentials to test',
  description: 'Without any, the stored ones are tested',
})

const tags = [registrySecrets.plural]
const path = `/namespaces/:namespace/${registrySecrets.plural}/:name`

export function addSourceRoutes(scope: Scope): void {
  addVerification(scope)
  addBrowsing(scope)
}

function addVerification({ app, gate, face }: Scope): void {
  app.post(
    `${path}/verify`,
    {
      schema: {
        tags,
        summary: 'Test the connection and the credentials; the answer is written to the annotations, too',
        params: NameParams,
        body: TestSchema,
        response: { 200: OutcomeSchema, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, 'sources:verify', { resource: registrySecrets, namespace, name })
      const given = readCredentials(request.body, name)
      const signal = signalOf(reply, registryTimeoutMs)
      const { success, message } = await face.sources.verify(namespace, name, given, by, signal)
      return reply.send({ success, message })
    },
  )
}

/** A password is never sent to a domain that it was not given with. @throws StatusError 400 with every wrong field. */
function readCredentials(body: unknown, name: string): Static<typeof TestSchema> {
  const problems: string[] = []
  const given = isMapping(body) || body === undefined || body === null ? (body ?? {}) : undefined
  if (given === undefined) problems.push('the body: expected an object, {} to test the stored credentials')
  checkFields(TestSchema, given ?? {}, '', (field, message) => problems.push(`${field}: ${message}`))
  const credentials = isMapping(given) ? given : {}
  if ((credentials.username === undefined) !== (credentials.password === undefined)) {
    problems.push('spec: expected username and password together')
  }
  if (problems.length > 0) {
    throw new StatusError(400, problems.join('; '), { problems, name, kind: registrySecrets.singular })
  }
  return credentials
}

const BrowseQuery = Type.Object({
  search: Type.Optional(Type.String({ description: 'Part of the name' })),
  limit: Type.Optional(Type.Integer({ default: 100, description: `At most so many names, 1 to ${maxNames}` })),
})
const Names = Type.Object({
  items: Type.Array(Type.String()),
  more: Type.Boolean({ description: 'Whether there are more that fit' }),
})

function addBrowsing({ app, gate, face }: Scope): void {
  const resource = registrySecrets
  const response = { 200: Names, ...errors(400, 404, 502, 504) }
  app.get(
    `${path}/repositories`,
    {
      schema: { tags, summary: 'Paths that the source offers', params: NameParams, querystring: BrowseQuery, response },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      gate.enter(request, 'sources:read', { resource, namespace, name })
      const query = readBrowse(request.query)
      const { names, more } = await face.sources.listRepositories(
        namespace,
        name,
        query,
        signalOf(reply, registryTimeoutMs),
      )
      return reply.send({ items: [...names], more })
    },
  )
  const querystring = Type.Object({
    repository: Type.String({ description: 'The path, e.g. library/nginx' }),
    ...BrowseQuery.properties,
  })
  app.get(
    `${path}/tags`,
    {
      schema: {
        tags,
        summary: 'Tags of a path at the source, the newest version first',
        params: NameParams,
        querystring,
        response,
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      gate.enter(request, 'sources:read', { resource, namespace, name })
      const query = readBrowse(request.query)
      const repository = readPath(request.query)
      const signal = signalOf(reply, registryTimeoutMs)
      const { names, more } = await face.sources.listTags(namespace, name, repository, query, signal)
      return reply.send({ items: [...names], more })
    },
  )
}

function readBrowse(query: RawQuery): { search?: string; limit: number } {
  const search = readText(query, 'search')
  const text = readText(query, 'limit') || '100'
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > maxNames) {
    const problem = `limit: expected a whole number from 1 to ${maxNames}, e.g. 100`
    throw new StatusError(400, problem, { problems: [problem] })
  }
  return { limit, ...(search === '' ? {} : { search }) }
}

function readPath(query: RawQuery): string {
  const repository = readText(query, 'repository')
  if (isRepository(repository)) return repository
  const problem = 'repository: expected a path without a tag, e.g. "library/nginx"'
  throw new StatusError(400, problem, { problems: [problem] })
}
