/** What paths and queries of image management say: namespaces, pages, searches. Contract, "Calls". */
import { type Static, Type } from 'typebox'
import { isNamespace } from '../../management/kinds.ts'
import { labelSelectorForm, parseLabelSelector } from '../../management/label-selector.ts'
import type { ListQuery } from '../../management/objects.ts'
import type { LabelCondition } from '../../state/managed-objects.ts'
import { StatusError } from './status.ts'

const maxLimit = 1000

/** Stands for every namespace that the caller may see. */
export const allNamespaces = '_all_'

export const PageQuerySchema = Type.Object({
  page: Type.Optional(Type.Integer({ default: 1, description: 'Which page, from 1' })),
  limit: Type.Optional(Type.Integer({ default: 10, description: `Items on a page, 1 to ${maxLimit}` })),
})

export const ListQuerySchema = Type.Object({
  ...PageQuerySchema.properties,
  search: Type.Optional(
    Type.String({
      description: 'Part of a name, a display name, a domain or a path; upper and lower case are the same',
    }),
  ),
  name: Type.Optional(Type.String({ description: 'The same as search' })),
  labelSelector: Type.Optional(Type.String({ description: "As kubectl's -l: `team=web,tier in (front,back),!old`" })),
})

export const NamespaceParams = Type.Object({ namespace: Type.String() })
export const NameParams = Type.Object({ namespace: Type.String(), name: Type.String() })
export type NameParams = Static<typeof NameParams>

/** A query as it arrives: texts, or lists of texts where a word stands twice. */
export type RawQuery = Readonly<Record<string, unknown>>

/** Page and limit. @throws StatusError 400 with every one that is wrong. */
export function readPage(query: RawQuery): { page: number; limit: number } {
  const problems: string[] = []
  const page = readNumber(query, 'page', 1, 1_000_000_000, problems)
  const limit = readNumber(query, 'limit', 10, maxLimit, problems)
  return problems.length > 0 ? refuse(problems) : { page, limit }
}

/** The whole question of a list, but for the namespaces. @throws StatusError 400 with everything that is wrong. */
export function readListQuery(query: RawQuery): Omit<ListQuery, 'namespaces'> {
  const search = readText(query, 'search') || readText(query, 'name')
  const selector = readText(query, 'labelSelector')
  return {
    ...readPage(query),
    ...(search === '' ? {} : { search }),
    ...(selector === '' ? {} : { labels: readLabels(selector) }),
  }
}

/** A text of the query; empty where there is none. @throws StatusError 400 where it stands twice or is too long. */
export function readText(query: RawQuery, key: string): string {
  const value = query[key] ?? ''
  if (typeof value === 'string' && value.length <= 512) return value.trim()
  return refuse([`${key}: expected one text of at most 512 characters`])
}

/** The namespace of a path, or of a document in a batch. @throws StatusError 400 for `_all_` and for what can't be one. */
export function oneNamespace(namespace: string): string {
  if (isNamespace(namespace)) return namespace
  return refuse([
    namespace === allNamespaces
      ? `namespace: "${allNamespaces}" stands for all of them, which only lists can read: name one, e.g. "default"`
      : 'namespace: expected a DNS-1123 label, e.g. "default"',
  ])
}

function readNumber(query: RawQuery, key: string, fallback: number, most: number, problems: string[]): number {
  const given = query[key]
  if (given === undefined || given === '') return fallback
  const value = typeof given === 'string' && /^\d{1,10}$/.test(given) ? Number(given) : 0
  if (value >= 1 && value <= most) return value
  problems.push(`${key}: expected a whole number from 1 to ${most}, e.g. ${fallback}`)
  return fallback
}

function readLabels(selector: string): readonly LabelCondition[] {
  return (
    parseLabelSelector(selector) ??
    refuse([`labelSelector: expected ${labelSelectorForm}, e.g. "team=web,tier in (front,back)"`])
  )
}

function refuse(problems: readonly string[]): never {
  throw new StatusError(400, problems.join('; '), { problems })
}
