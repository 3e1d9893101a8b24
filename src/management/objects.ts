/** What all objects of image management have in common: lists and their pages, and who did what. Used by every class of the room. */
import type Database from 'better-sqlite3'
import { type Static, type TSchema, Type } from 'typebox'
import type { Audit } from '../access/audit.ts'
import { Shape } from '../oci/shape.ts'
import type { LabelCondition, ObjectRow, RowQuery } from '../state/managed-objects.ts'
import { inTransaction } from '../state/transaction.ts'
import { annotationNames, type ObjectMetadata } from './kinds.ts'
import { atItem, ManagementError } from './management-error.ts'

/** Which objects, in which order: by namespace, then name. */
export interface ListQuery {
  /** Those that the caller may see. */
  readonly namespaces: readonly string[] | 'all'
  /** From 1. */
  readonly page?: number
  /** Objects per page, at most {@link maxPageSize}. Default: everything, up to that. */
  readonly limit?: number
  /** Part of the name, the display name, or the domain or path; upper and lower case are the same. */
  readonly search?: string
  /** What must hold for its labels. */
  readonly labels?: readonly LabelCondition[]
}

export const maxPageSize = 10_000

export interface Page<T> {
  readonly items: readonly T[]
  /** On all pages together. */
  readonly totalItems: number
}

/** What an `apply` did. */
export interface Applied<T> {
  readonly object: T
  readonly outcome: 'created' | 'configured' | 'unchanged'
}

/** Where it is written down who did what. */
export type AuditLog = Pick<Audit, 'record'>

type AuditEvent = Parameters<AuditLog['record']>[0]

/** Where things are done, and where it is written down. */
export interface AuditedParts {
  readonly db: Database.Database
  readonly audit: AuditLog
}

/** Something that is to be audited, and how it is done. */
export interface Step<T> {
  readonly event: Pick<AuditEvent, 'who' | 'from' | 'action' | 'object' | 'detail'>
  work(): T
}

/** Does something that is to be audited: one transaction with its record; a failure is recorded by itself, and thrown. */
export function audited<T>({ db, audit }: AuditedParts, event: Step<T>['event'], work: () => T): T {
  try {
    return inTransaction(db, () => record(audit, { event, work }))
  } catch (error) {
    recordFailure(audit, event, error)
    throw error
  }
}

/**
 * The same with all of the steps, or none: nobody sees a part of them, and none of what was undone is on record, only what failed.
 * @throws what the failing step has thrown; a ManagementError names its place.
 */
export function auditedTogether<T>({ db, audit }: AuditedParts, steps: readonly Step<T>[]): T[] {
  let at = 0
  try {
    return inTransaction(db, () =>
      steps.map((step, place) => {
        at = place
        return record(audit, step)
      }),
    )
  } catch (error) {
    const failed = steps[at]
    if (failed !== undefined) recordFailure(audit, failed.event, error)
    throw error instanceof ManagementError ? atItem(error, at) : error
  }
}

function record<T>(audit: AuditLog, { event, work }: Step<T>): T {
  const result = work()
  audit.record({ ...event, outcome: 'success' })
  return result
}

function recordFailure(audit: AuditLog, event: Step<unknown>['event'], error: unknown): void {
  const reason = error instanceof ManagementError ? error.reason : 'Internal'
  audit.record({ ...event, outcome: 'failure', detail: { ...event.detail, reason } })
}

/** A query in the words of the rows. */
export function toRowQuery({
  namespaces,
  page = 1,
  limit = maxPageSize,
  search = '',
  labels = [],
}: ListQuery): RowQuery {
  const size = Math.min(Math.max(1, Math.trunc(limit)), maxPageSize)
  return {
    namespaces,
    search: search.trim().toLowerCase(),
    labels,
    offset: (Math.max(1, Math.trunc(page)) - 1) * size,
    limit: size,
  }
}

/** What a search looks in, as one text. */
export function searchText(name: string, annotations: Readonly<Record<string, string>>, place: string): string {
  return [name, annotations[annotationNames.displayName] ?? '', place].join('\n').toLowerCase()
}

/** `metadata` as it is read back, from a row. */
export function toMetadata(row: ObjectRow, annotations: Readonly<Record<string, string>>): ObjectMetadata {
  return {
    name: row.name,
    namespace: row.namespace,
    uid: row.uid,
    creationTimestamp: `${new Date(row.createdAt).toISOString().slice(0, 19)}Z`,
    resourceVersion: String(row.version),
    annotations,
    labels: readTexts(row.labels),
  }
}

const texts = new Shape(Type.Record(Type.String(), Type.String()))

/** A column that holds a JSON object of texts. */
export function readTexts(column: string): Readonly<Record<string, string>> {
  return readColumn(texts, column)
}

/** A column that holds a document of that form. Checked, not parsed: a list of thousands reads several of each row. */
export function readColumn<Form extends TSchema>(form: Shape<Form>, column: string): Static<Form> {
  const value: unknown = JSON.parse(column)
  if (form.check(value)) return value
  throw new Error('a row of the database does not have the form that it was written in')
}

/** Annotations or labels. */
export type Texts = Readonly<Record<string, string>>

export function sameTexts(a: Texts, b: Texts): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key])
}

/** The annotations after changes; null takes one away. */
export function changed(
  annotations: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string>> {
  const all = Object.entries({ ...annotations, ...changes })
  return Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== null))
}
