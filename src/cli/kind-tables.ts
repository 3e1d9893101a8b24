/** What `get` shows of each kind: the columns of its table, and those that `-o wide` adds. */
import type { DocumentKind } from '../management/documents.ts'
import { writtenAnnotations } from '../management/kinds.ts'
import { formatAge } from './age.ts'
import type { ReadObject } from './object-client.ts'
import type { Column } from './table.ts'

/** As kubectl says that there is nothing. */
const none = '<none>'

export interface TableOptions {
  readonly wide: boolean
  /** Over all namespaces: they get a column. */
  readonly withNamespace: boolean
  /** Epoch milliseconds. */
  readonly now: number
}

/** The columns of a kind's table. */
export function columnsOf(
  kind: DocumentKind,
  { wide, withNamespace, now }: TableOptions,
): readonly Column<ReadObject>[] {
  const table = tables[kind](now)
  const namespace: Column<ReadObject> = { title: 'NAMESPACE', value: ({ metadata }) => metadata.namespace ?? none }
  const name: Column<ReadObject> = { title: 'NAME', value: ({ metadata }) => metadata.name }
  return [
    ...(withNamespace && kind !== 'DistributionPlan' ? [namespace] : []),
    name,
    ...table.columns,
    ...(wide ? table.wide : []),
  ]
}

interface Table {
  readonly columns: readonly Column<ReadObject>[]
  readonly wide: readonly Column<ReadObject>[]
}

const tables: Readonly<Record<DocumentKind, (now: number) => Table>> = {
  RegistrySecret: now => ({
    columns: [
      field('DOMAIN', 'spec', 'domain'),
      field('PROVIDER', 'spec', 'provider'),
      annotation('STATUS', writtenAnnotations.verifyStatus),
      age(now),
    ],
    wide: [
      field('USERNAME', 'spec', 'username'),
      { title: 'VERIFIED', value: object => ago(epoch(object), now) },
      annotation('MESSAGE', writtenAnnotations.verifyMessage),
    ],
  }),
  Repository: now => ({
    columns: [
      field('DOMAIN', 'status', 'domain'),
      field('REPOSITORY', 'spec', 'repository'),
      { title: 'TAG', value: object => text(object, 'spec', 'tag') ?? text(object, 'spec', 'tagPattern') ?? none },
      field('STATUS', 'status', 'syncStatus'),
      { title: 'SYNCED', value: object => ago(text(object, 'status', 'lastSynced'), now) },
      age(now),
    ],
    wide: [
      { title: 'SOURCE', value: ({ spec }) => sourceOf(spec?.registryRef) },
      field('INTERVAL', 'spec', 'syncInterval'),
      field('PROGRESS', 'status', 'syncProgress'),
      field('SIZE', 'status', 'manifest', 'size'),
      field('ERROR', 'status', 'error', 'message'),
    ],
  }),
  ImageCleanupPolicy: now => ({
    columns: [
      field('SCHEDULE', 'spec', 'schedule'),
      field('KEEP', 'spec', 'keepRecent'),
      field('UNUSED-DAYS', 'spec', 'unusedDays'),
      {
        title: 'LAST-RUN',
        value: object => ago(text(object, 'status', 'lastRun') ?? text(object, 'status', 'lastRun', 'at'), now),
      },
      age(now),
    ],
    wide: [{ title: 'NAMESPACES', value: ({ spec }) => listOf(spec?.namespaces) }],
  }),
  DistributionPlan: now => ({
    columns: [
      field('REVISION', 'status', 'revision'),
      field('STATUS', 'status', 'phase'),
      field('REASON', 'status', 'reason'),
      { title: 'CHANGED', value: object => ago(text(object, 'status', 'at'), now) },
    ],
    wide: [field('MESSAGE', 'status', 'message')],
  }),
}

/** The value at a path as text; undefined where there is none. */
function text(object: ReadObject, ...path: readonly string[]): string | undefined {
  let value: unknown = object
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.entries(value).find(([name]) => name === key)?.[1]
  }
  return typeof value === 'number' || (typeof value === 'string' && value !== '') ? String(value) : undefined
}

function field(title: string, ...path: readonly string[]): Column<ReadObject> {
  return { title, value: object => text(object, ...path) ?? none }
}

function annotation(title: string, key: string): Column<ReadObject> {
  return { title, value: ({ metadata }) => metadata.annotations?.[key] || none }
}

function age(now: number): Column<ReadObject> {
  return { title: 'AGE', value: ({ metadata }) => formatAge(metadata.creationTimestamp, now) }
}

function ago(time: string | undefined, now: number): string {
  return time === undefined ? none : formatAge(time, now)
}

/** The annotation is in epoch milliseconds. */
function epoch({ metadata }: ReadObject): string | undefined {
  const time = Number(metadata.annotations?.[writtenAnnotations.verifyTimestamp] ?? Number.NaN)
  return Number.isSafeInteger(time) && time > 0 && time < 8.64e15 ? new Date(time).toISOString() : undefined
}

function sourceOf(ref: unknown): string {
  const named = typeof ref === 'object' && ref !== null && 'name' in ref && 'namespace' in ref
  return named ? `${ref.namespace}/${ref.name}` : none
}

function listOf(value: unknown): string {
  return Array.isArray(value) && value.length > 0 ? value.join(',') : none
}
