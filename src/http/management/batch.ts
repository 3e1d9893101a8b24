/**
 * Many objects in one call, on the path of the list: created all or none, deleted one after the other. A client's batch is the list
 * that it has read, or the part of it that a person has marked.
 */
import type { FastifyRequest } from 'fastify'
import type { By } from '../../access/tokens.ts'
import { isMapping } from '../../management/fields.ts'
import { ManagementError } from '../../management/management-error.ts'
import type { Collection, ToldObject } from './face.ts'
import type { Gate } from './gate.ts'
import { allNamespaces, oneNamespace } from './query.ts'
import type { Resource } from './resources.ts'
import { StatusError } from './status.ts'

const maxItems = 1000

/** The documents of a batch; undefined where the body is one document. @throws StatusError 400 for an empty or a large one. */
export function readBatch(body: unknown): readonly unknown[] | undefined {
  const items: unknown = isMapping(body) && body.spec === undefined ? (body.items ?? body.names) : body
  if (!Array.isArray(items)) return undefined
  if (items.length >= 1 && items.length <= maxItems) return items
  return refuse([`items: expected 1 to ${maxItems} of them, got ${items.length}`])
}

export interface Creation<Input> {
  readonly resource: Resource
  readonly collection: Collection<Input>
  /** @throws ManagementError with every wrong field. */
  read(document: unknown): Input
  readonly by: By
}

/** Creates all of them, or none. @throws StatusError that names each item by its place in the list. */
export function createAll<Input>(documents: readonly unknown[], creation: Creation<Input>): readonly ToldObject[] {
  const { collection, resource, by } = creation
  const problems: string[] = []
  const inputs = documents.flatMap((document, at) => {
    try {
      return [creation.read(document)]
    } catch (error) {
      problems.push(...problemsOf(error).map(problem => `items[${at}].${problem}`))
      return []
    }
  })
  if (problems.length > 0) refuse(problems, resource)
  return collection.createAll(inputs, by)
}

export interface Deletion {
  readonly request: FastifyRequest
  readonly gate: Gate
  readonly resource: Resource
  readonly collection: Pick<Collection<never>, 'get' | 'delete'>
  /** Of the path; `_all_` where each item says its own. */
  readonly namespace: string
}

/**
 * Deletes all of them. Nothing is deleted where one isn't there or may not be deleted; those in use are left, and told.
 * @throws StatusError 400, 403, 404; 409 for what is left.
 */
export function deleteAll(items: readonly unknown[], deletion: Deletion): void {
  const { request, gate, resource, collection } = deletion
  const named = items.map((item, at) => readName(item, at, deletion))
  const names = [...new Map(named.map(one => [`${one.namespace}/${one.name}`, one])).values()].map(one => ({
    ...one,
    by: gate.enter(request, resource.rights.delete, { resource, namespace: one.namespace }),
  }))
  for (const { namespace, name } of names) collection.get(namespace, name)
  const left: string[] = []
  for (const { namespace, name, by } of names) {
    try {
      collection.delete(namespace, name, by)
    } catch (error) {
      if (!(error instanceof ManagementError)) throw error
      left.push(`${namespace}/${name}: ${error.message}`)
    }
  }
  if (left.length === 0) return
  const gone = names.length - left.length
  throw new StatusError(409, `${gone} of ${names.length} deleted; ${left.join('; ')}`, {
    kind: resource.singular,
    problems: left,
  })
}

/** A whole object, its name and namespace, or its name alone. */
function readName(item: unknown, at: number, { namespace: path, resource }: Deletion) {
  const place: unknown = isMapping(item) && isMapping(item.metadata) ? item.metadata : item
  const name: unknown = isMapping(place) ? place.name : place
  const own: unknown = isMapping(place) ? (place.namespace ?? undefined) : undefined
  const where = `items[${at}].metadata`
  if (typeof name !== 'string' || name === '') {
    return refuse([`${where}.name: missing: expected the name of what is to be deleted`], resource)
  }
  const namespace = own ?? path
  if (typeof namespace !== 'string' || (path !== allNamespaces && namespace !== path)) {
    return refuse([`${where}.namespace: expected "${path}" as in the path`], resource)
  }
  return { namespace: oneNamespace(namespace), name }
}

function problemsOf(error: unknown): readonly string[] {
  if (!(error instanceof ManagementError)) throw error
  return error.problems.length > 0 ? error.problems : [error.message]
}

function refuse(problems: readonly string[], resource?: Resource): never {
  throw new StatusError(400, problems.join('; '), { problems, kind: resource?.singular })
}
