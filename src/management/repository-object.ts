/** A Repository as it is kept and read back: its shapes, and how a row becomes one. Used by the files that keep images in sync. */
import { randomUUID } from 'node:crypto'
import { type Static, Type } from 'typebox'
import type { By } from '../access/tokens.ts'
import { formatTarget } from '../oci/reference.ts'
import { Shape } from '../oci/shape.ts'
import type { NewRepositoryRow, RepositoryHoldRow, RepositoryRow, RepositoryTagRow } from '../state/repositories.ts'
import type { Obstacle } from '../transfer/link/obstacle.ts'
import type { RepositoryInput, SourceRef } from './documents.ts'
import { apiVersion, type ManagedObject } from './kinds.ts'
import { ManagementError, type ObjectName } from './management-error.ts'
import { readColumn, readTexts, searchText, toMetadata } from './objects.ts'

const SourceRefShape = Type.Object({ name: Type.String(), namespace: Type.String() })

const SpecShape = Type.Object({
  repository: Type.String(),
  tag: Type.Optional(Type.String()),
  tagPattern: Type.Optional(Type.String()),
  registryRef: SourceRefShape,
  fallbackRefs: Type.Optional(Type.Array(SourceRefShape)),
  syncInterval: Type.String(),
  syncTimeout: Type.String(),
  retryCount: Type.Integer(),
})

const ManifestSummaryShape = Type.Object({
  architecture: Type.String(),
  os: Type.String(),
  /** For people: `142MB`. */
  size: Type.String(),
  /** ISO 8601; empty where the image does not say. */
  created: Type.String(),
  layers: Type.Array(Type.Object({ digest: Type.String(), size: Type.Integer() })),
})

/** Why the next run waits for the link, in the words that plans have for it. */
const WaitShape = Type.Object({
  reason: Type.Enum(['Window', 'Budget']),
  message: Type.String(),
  /** ISO 8601; absent where no end is known. */
  until: Type.Optional(Type.String()),
})

const FailureShape = Type.Object({ code: Type.String(), message: Type.String(), hint: Type.String() })

export const SyncRunShape = Type.Object({
  trigger: Type.Enum(['created', 'schedule', 'request', 'annotation']),
  by: Type.String(),
  /** ISO 8601. */
  startedAt: Type.String(),
  endedAt: Type.String(),
  durationMs: Type.Integer(),
  /** Waiting: the link was closed to it. The next run goes on from there, and the notes say when. */
  outcome: Type.Enum(['Success', 'Failed', 'Waiting']),
  /** The source that served it, `namespace/name`. */
  source: Type.Optional(Type.String()),
  attempts: Type.Integer(),
  /** What came over the wire. */
  bytesMoved: Type.Integer(),
  /** Of what the tag points at since; with a pattern, of the newest version. */
  digest: Type.Optional(Type.String()),
  /** What an operator should know. */
  notes: Type.Array(Type.String()),
  error: Type.Optional(FailureShape),
})

export interface RepositorySpec {
  readonly repository: string
  readonly tag?: string | undefined
  readonly tagPattern?: string | undefined
  readonly registryRef: SourceRef
  readonly fallbackRefs?: readonly SourceRef[] | undefined
  readonly syncInterval: string
  readonly syncTimeout: string
  readonly retryCount: number
}
export type ManifestSummary = Readonly<Static<typeof ManifestSummaryShape>>
export type SyncFailure = Readonly<Static<typeof FailureShape>>
export type SyncWait = Readonly<Static<typeof WaitShape>>
export type SyncRun = Readonly<Static<typeof SyncRunShape>>

export interface RepositoryStatus {
  readonly domain: string
  readonly syncStatus: '' | 'Syncing' | 'Success' | 'Failed'
  /** `42%`; empty before the first run. */
  readonly syncProgress: string
  /** ISO 8601; absent before the first success. */
  readonly lastSynced?: string
  readonly manifest?: ManifestSummary
  /** Why the last run failed. */
  readonly error?: SyncFailure
  /** What keeps its sync back, while the link is closed to it. */
  readonly waiting?: SyncWait
  /** With a pattern: the tags that are kept. */
  readonly tags?: readonly string[]
  /** Tags that were rolled back and stay so until somebody starts a sync, with their digests. */
  readonly rolledBack?: Readonly<Record<string, string>>
}

export type Repository = ManagedObject<'Repository', RepositorySpec, RepositoryStatus>

/** Content that cleanup must leave alone, and for whom. Without a digest, whatever the tag points at. */
export interface RepositoryHold {
  /** `namespace/name`. */
  readonly holder: string
  readonly repository: string
  readonly tag: string | null
  readonly digest: string | null
}

export function toHold({ namespace, name, path, tag, digest }: RepositoryHoldRow): RepositoryHold {
  return { holder: `${namespace}/${name}`, repository: path, tag, digest }
}

const spec = new Shape(SpecShape)
const manifest = new Shape(ManifestSummaryShape)
const failure = new Shape(FailureShape)
const wait = new Shape(WaitShape)
const run = new Shape(SyncRunShape)

export function repositoryName(namespace: string, name: string): ObjectName & { readonly namespace: string } {
  return { kind: 'Repository', namespace, name }
}

export function readSpec(row: Pick<RepositoryRow, 'spec'>): RepositorySpec {
  return readColumn(spec, row.spec)
}

export function readRun(document: string): SyncRun {
  return readColumn(run, document)
}

export function toWait({ reason, message, until }: Obstacle): SyncWait {
  return { reason, message, ...(until === undefined ? {} : { until: new Date(until).toISOString() }) }
}

/** What a run that goes on adds to the row: nothing of it is on disk, so that no crash leaves it there. */
export interface Activity {
  /** 0 to 1. */
  readonly progress: number
}

export function toRepository(
  row: RepositoryRow,
  tags: readonly RepositoryTagRow[],
  activity: Activity | undefined,
): Repository {
  const own = readSpec(row)
  return {
    apiVersion,
    kind: 'Repository',
    metadata: toMetadata(row, readTexts(row.annotations)),
    spec: own,
    status: toStatus(row, own, tags, activity),
  }
}

function toStatus(
  row: RepositoryRow,
  { tagPattern }: RepositorySpec,
  tags: readonly RepositoryTagRow[],
  activity: Activity | undefined,
): RepositoryStatus {
  const back = tags.filter(tag => tag.rolledBack)
  return {
    domain: row.domain,
    syncStatus: activity === undefined ? row.outcome : 'Syncing',
    syncProgress: progressOf(row, activity),
    ...(row.lastSynced === null ? {} : { lastSynced: new Date(row.lastSynced).toISOString() }),
    ...(row.manifest === null ? {} : { manifest: readColumn(manifest, row.manifest) }),
    ...(row.error === null || activity ? {} : { error: readColumn(failure, row.error) }),
    ...(row.waiting === null || activity ? {} : { waiting: readColumn(wait, row.waiting) }),
    ...(tagPattern !== undefined ? { tags: tags.map(({ tag }) => tag) } : {}),
    ...(back.length === 0 ? {} : { rolledBack: Object.fromEntries(back.map(({ tag, digest }) => [tag, digest])) }),
  }
}

/** A run that failed or was kept back says how far it came. */
function progressOf({ outcome, progress, waiting }: RepositoryRow, activity: Activity | undefined): string {
  if (outcome === '' && activity === undefined && waiting === null) return ''
  if (outcome === 'Success' && activity === undefined) return '100%'
  return `${Math.min(99, Math.floor((activity?.progress ?? progress) * 100))}%`
}

/** `library/nginx:1.27`, or the path with its pattern. */
export function describeWanted({ repository, tag, tagPattern = '' }: RepositorySpec): string {
  return tag === undefined ? `${repository} (${tagPattern})` : formatTarget({ repository, tag })
}

/** Of one that is created: its first run is due at once. `now` is epoch milliseconds. */
export function newRow(
  { metadata, spec }: RepositoryInput,
  { domain, by, now }: { readonly domain: string; readonly by: By; readonly now: number },
): NewRepositoryRow {
  const { namespace, name, annotations, labels } = metadata
  return {
    ...{ namespace, name, uid: randomUUID(), createdAt: now, path: spec.repository, domain },
    annotations: JSON.stringify(annotations),
    labels: JSON.stringify(labels),
    search: searchText(name, annotations, spec.repository),
    spec: JSON.stringify(spec),
    ...{ outcome: '', lastSynced: null, manifest: null, error: null },
    ...{ dueAt: now, trigger: 'created', requestedBy: by.who, requestedFrom: by.from ?? null },
  }
}

export function isSameSpec(a: RepositorySpec, b: RepositorySpec | RepositoryInput['spec']): boolean {
  return JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort())
}

export function noVersion({ namespace, name, path }: RepositoryRow, version: string): ManagementError {
  const message = `${path} has no version "${version.slice(0, 200)}" in the local registry`
  return new ManagementError('NotFound', message, repositoryName(namespace, name))
}
