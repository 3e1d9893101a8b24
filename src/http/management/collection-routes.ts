/** What can be done with every kind: list, read, create, declare, edit, delete; one or many. Contract, "Calls". */
import type { FastifyRequest } from 'fastify'
import type { GivenMetadata, Place } from '../../management/documents.ts'
import { isMapping } from '../../management/fields.ts'
import { annotationNames, apiVersion } from '../../management/kinds.ts'
import { createAll, deleteAll, readBatch } from './batch.ts'
import type { Collection } from './face.ts'
import type { Need } from './gate.ts'
import { mergePatch, readPatch } from './patch.ts'
import { allNamespaces, ListQuerySchema, NameParams, NamespaceParams, oneNamespace, readListQuery } from './query.ts'
import type { Resource } from './resources.ts'
import { DeletionSchema, errors, OneOrMany, PatchSchema, schemasOf } from './schemas.ts'
import type { Scope } from './scope.ts'
import { StatusError } from './status.ts'

export interface CollectionOptions<Input> {
  readonly resource: Resource
  readonly collection: Collection<Input>
  /** @throws ManagementError `Invalid` with every wrong field. */
  read(document: unknown, place: Place): Input
  /** What it takes to create one that reaches into other namespaces. */
  needs?(input: Input): readonly Need[]
  /** Whether spec may be edited; else it is fixed: delete and create again. */
  readonly editable?: boolean
}

/** The routes of one kind. */
export function addCollectionRoutes<Input extends { readonly metadata: GivenMetadata }>(
  scope: Scope,
  options: CollectionOptions<Input>,
): void {
  addReading(scope, options)
  addCreation(scope, options)
  addDeclaration(scope, options)
  addEditing(scope, options)
  addDeletion(scope, options)
}

function addReading<Input>({ app, gate }: Scope, { resource, collection }: CollectionOptions<Input>): void {
  const { plural, kind, rights } = resource
  const { told, list } = schemasOf(resource)
  app.get(
    `/namespaces/:namespace/${plural}`,
    {
      schema: {
        tags: [plural],
        summary: `A page of them; ${allNamespaces} reads every namespace that the caller may see`,
        params: NamespaceParams,
        querystring: ListQuerySchema,
        response: { 200: list, ...errors(400) },
      },
    },
    async (request, reply) => {
      const { namespace: given } = request.params
      const namespaces = given === allNamespaces ? gate.visible(request, rights.read, resource) : [oneNamespace(given)]
      if (given !== allNamespaces) gate.enter(request, rights.read, { resource, namespace: given })
      const page = collection.list({ ...readListQuery(request.query), namespaces })
      return reply.send({ apiVersion, kind: `${kind}List`, metadata: {}, ...page })
    },
  )
  app.get(
    `/namespaces/:namespace/${plural}/:name`,
    { schema: { tags: [plural], summary: 'One of them', params: NameParams, response: { 200: told, ...errors(404) } } },
    async (request, reply) => {
      const { namespace, name } = request.params
      gate.enter(request, rights.read, { resource, namespace: oneNamespace(namespace), name })
      return reply.send(collection.get(namespace, name))
    },
  )
}

function addCreation<Input extends { readonly metadata: GivenMetadata }>(
  { app, gate }: Scope,
  { resource, collection, read, needs }: CollectionOptions<Input>,
): void {
  const { plural, kind, rights } = resource
  const { sent, told } = schemasOf(resource)
  app.post(
    `/namespaces/:namespace/${plural}`,
    {
      schema: {
        tags: [plural],
        summary: 'Create one; or many with a list as body, all or none of them',
        params: NamespaceParams,
        body: OneOrMany(sent, resource),
        response: { 201: told, ...errors(400, 404, 409) },
      },
    },
    async (request, reply) => {
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, rights.create, { resource, namespace, name: nameIn(request.body) })
      const readOne = (document: unknown) => {
        const input = read(document, { namespace })
        gate.enterAll(request, needs?.(input) ?? [])
        return input
      }
      const documents = readBatch(request.body)
      if (documents === undefined) return reply.code(201).send(collection.create(readOne(request.body), by))
      const items = createAll(documents, { resource, collection, read: readOne, by })
      return reply.code(201).send({ apiVersion, kind: `${kind}List`, metadata: {}, items, totalItems: items.length })
    },
  )
}

/** What `apply` of the command line does for one document. */
function addDeclaration<Input extends { readonly metadata: GivenMetadata }>(
  { app, gate }: Scope,
  { resource, collection, read, needs }: CollectionOptions<Input>,
): void {
  const { plural, singular, rights } = resource
  const { sent, told } = schemasOf(resource)
  app.put(
    `/namespaces/:namespace/${plural}/:name`,
    {
      schema: {
        tags: [plural],
        summary:
          'Create it, or edit what people write about it; 409 where spec differs. The header apply-outcome says created, configured or unchanged',
        params: NameParams,
        body: sent,
        response: { 200: told, 201: told, ...errors(400, 404, 409) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, rights.create, { resource, namespace, name })
      gate.enter(request, rights.change, { resource, namespace, name })
      const input = read(request.body, { namespace })
      if (input.metadata.name !== name) {
        const problem = `metadata.name: expected "${name}" as in the path`
        throw new StatusError(400, problem, { problems: [problem], kind: singular, name })
      }
      gate.enterAll(request, needs?.(input) ?? [])
      const { object, outcome } = collection.apply(input, by)
      return reply
        .code(outcome === 'created' ? 201 : 200)
        .header('apply-outcome', outcome)
        .send(object)
    },
  )
}

function addEditing<Input extends { readonly metadata: GivenMetadata }>(
  { app, gate }: Scope,
  { resource, collection, read, needs, editable }: CollectionOptions<Input>,
): void {
  const { plural, rights } = resource
  const { told } = schemasOf(resource)
  app.patch(
    `/namespaces/:namespace/${plural}/:name`,
    {
      schema: {
        tags: [plural],
        summary: `Edit display name and description${editable ? ', and spec' : ''}, as a merge patch`,
        params: NameParams,
        body: PatchSchema,
        response: { 200: told, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const object = { resource, namespace, name }
      const annotated = annotatedIn(request.body)
      const syncs = resource.kind === 'Repository' && annotated.includes(annotationNames.manualSync)
      if (syncs) gate.enter(request, 'repositories:sync', object)
      const onlySyncs = syncs && annotated.length === 1
      const by = gate.enter(request, onlySyncs ? 'repositories:sync' : rights.change, object)
      const current = collection.get(namespace, name)
      if (editable) {
        const input = read(mergePatch(current, request.body), { namespace })
        if (input.metadata.name === name) {
          gate.enterAll(request, needs?.(input) ?? [])
          return reply.send(collection.apply(input, by).object)
        }
      }
      const changes = readPatch(request.body, current, resource)
      const unchanged = Object.keys(changes).length === 0
      return reply.send(unchanged ? current : collection.annotate(namespace, name, changes, by))
    },
  )
}

function addDeletion<Input>({ app, gate }: Scope, { resource, collection }: CollectionOptions<Input>): void {
  const { plural, rights } = resource
  app.delete(
    `/namespaces/:namespace/${plural}/:name`,
    { schema: { tags: [plural], summary: 'Delete it', params: NameParams, response: errors(404, 409) } },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, rights.delete, { resource, namespace, name })
      collection.delete(namespace, name, by)
      return reply.code(204).send()
    },
  )
  app.delete(
    `/namespaces/:namespace/${plural}`,
    {
      schema: {
        tags: [plural],
        summary: 'Delete the named ones; those in use are left and told',
        params: NamespaceParams,
        body: DeletionSchema,
        response: errors(400, 404, 409),
      },
    },
    async (request, reply) => {
      const { namespace: given } = request.params
      const namespace = given === allNamespaces ? given : oneNamespace(given)
      // Asked before the list is looked at, so that nobody without the right learns anything from it.
      if (given === allNamespaces) gate.visible(request, rights.delete, resource)
      else gate.enter(request, rights.delete, { resource, namespace })
      const items = readBatch(request.body)
      if (items === undefined) {
        const problem = 'items: missing: expected {"items": [{"metadata": {"name": "…"}}]}'
        throw new StatusError(400, problem, { problems: [problem], kind: resource.singular })
      }
      deleteAll(items, { request, gate, resource, collection, namespace })
      return reply.code(204).send()
    },
  )
}

/** The name that a body gives, for the record of a call that is denied. */
function nameIn(body: FastifyRequest['body']): string {
  const metadata = isMapping(body) ? body.metadata : undefined
  return isMapping(metadata) && typeof metadata.name === 'string' ? metadata.name : ''
}

function annotatedIn(body: FastifyRequest['body']): string[] {
  const metadata = isMapping(body) ? body.metadata : undefined
  return isMapping(metadata) && isMapping(metadata.annotations) ? Object.keys(metadata.annotations) : []
}
