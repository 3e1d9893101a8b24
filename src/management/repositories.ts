/** The images that are kept in sync (Repository): their schedule, their runs, their versions. Used by http/, cli/ and lifecycle. */
import { EventEmitter } from 'node:events'
import type { Logger } from 'pino'
import type { By } from '../access/tokens.ts'
import type { State } from '../state/database.ts'
import { type RepositoryRow, RepositoryRows, type SyncTrigger } from '../state/repositories.ts'
import { inTransaction } from '../state/transaction.ts'
import { listAnnotationProblems, type RepositoryInput } from './documents.ts'
import { annotationNames } from './kinds.ts'
import { alreadyExists, conflict, invalid, ManagementError, notFound } from './management-error.ts'
import {
  type Applied,
  type AuditedParts,
  type AuditLog,
  audited,
  auditedTogether,
  changed,
  type ListQuery,
  type Page,
  readTexts,
  type Step,
  sameTexts,
  searchText,
  type Texts,
  toRowQuery,
} from './objects.ts'
import { listCreationProblems, listTargetProblems } from './repository-checks.ts'
import {
  isSameSpec,
  newRow,
  noVersion,
  type Repository,
  type RepositoryHold,
  readRun,
  readSpec,
  repositoryName,
  type SyncRun,
  toHold,
  toRepository,
} from './repository-object.ts'
import { rollBack, tagToMove } from './roll-back.ts'
import type { Sources } from './sources.ts'
import type { SyncParts } from './sync.ts'
import { SyncQueue } from './sync-queue.ts'
import { Ticker } from './ticker.ts'
import { compareVersionsOf, findVersion, type ImageVersion, listVersions, type VersionDifference } from './versions.ts'

export type { ManifestSummary, Repository, RepositorySpec, RepositoryStatus, SyncRun } from './repository-object.ts'
export type { ImageVersion, VersionDifference } from './versions.ts'

export interface RepositoryEvents {
  /** It was created or changed, or its sync went on. */
  changed: [Repository]
  deleted: [{ readonly namespace: string; readonly name: string }]
}

export interface RepositoriesOptions extends Omit<SyncParts, 'sources'> {
  readonly state: Pick<State, 'db'>
  readonly sources: Sources
  readonly audit: AuditLog
  readonly logger: Logger
  /** Syncs at once. Default 4. */
  readonly maxRuns?: number
  /** Epoch milliseconds. */
  readonly now?: () => number
  /** In [0, 1), for tests. */
  readonly random?: () => number
}

/** All methods that act take `by`: who asked, and from where. All throw ManagementError. */
export class Repositories {
  readonly events = new EventEmitter<RepositoryEvents>()
  readonly #options: RepositoriesOptions
  readonly #rows: RepositoryRows
  readonly #queue: SyncQueue
  readonly #ticker: Ticker
  readonly #now: () => number

  constructor(options: RepositoriesOptions) {
    const { state, audit, logger, maxRuns = 4, now = Date.now, random = Math.random } = options
    this.#options = options
    this.#now = now
    this.#rows = new RepositoryRows(state.db)
    this.#queue = new SyncQueue({
      ...{ rows: this.#rows, parts: options, audit, logger, maxRuns, now, random },
      changed: uid => this.#tell(uid),
      transaction: work => inTransaction(state.db, work),
    })
    this.#ticker = new Ticker({ name: 'sync', everySeconds: 1, work: async () => this.#queue.begin(), logger })
  }

  /** Takes up what an earlier process left, and begins to sync by schedule. */
  start(): void {
    this.#queue.start()
    this.#ticker.start()
  }

  /** Ends every sync. What has arrived is kept, and they go on with the next start. */
  async stop(): Promise<void> {
    this.#ticker.stop()
    await this.#queue.stop()
  }

  /** The first sync begins at once. */
  create(input: RepositoryInput, by: By): Repository {
    const { event, work } = this.#creation(input, by)
    const created = audited(this.#parts, event, work)
    this.#begin([created])
    return created
  }

  /** All of them, or none. @throws ManagementError that names the place of the one that is refused. */
  createAll(inputs: readonly RepositoryInput[], by: By): readonly Repository[] {
    const steps = inputs.map(input => this.#creation(input, by))
    const created = auditedTogether(this.#parts, steps)
    this.#begin(created)
    return created
  }

  /** Creates it, or changes its annotations and labels where its spec is the same. @throws `Conflict` where the spec differs. */
  apply(input: RepositoryInput, by: By): Applied<Repository> {
    const { namespace, name, annotations, labels } = input.metadata
    const row = this.#rows.find(namespace, name)
    if (row === undefined) return { object: this.create(input, by), outcome: 'created' }
    if (!isSameSpec(readSpec(row), input.spec)) {
      const message = `the spec of Repository "${name}" can not be changed: delete it and create it again`
      throw conflict(repositoryName(namespace, name), message)
    }
    const own = readTexts(row.annotations)
    const after = { annotations: changed(own, annotations), labels }
    if (sameTexts(own, after.annotations) && sameTexts(readTexts(row.labels), labels)) {
      return { object: this.#read(row), outcome: 'unchanged' }
    }
    return { object: this.#describe(row, after, by), outcome: 'configured' }
  }

  get(namespace: string, name: string): Repository {
    return this.#read(this.#row(namespace, name))
  }

  list(query: ListQuery): Page<Repository> {
    const { rows, total } = this.#rows.list(toRowQuery(query))
    return { items: rows.map(row => this.#read(row)), totalItems: total }
  }

  /**
   * Changes annotations; null removes one. `theriseunion.io/manual-sync` starts a sync: by itself with any value, the one that it has,
   * too; beside others with a new one only, as an object that was read and comes back edited asks for none.
   */
  annotate(namespace: string, name: string, changes: Readonly<Record<string, string | null>>, by: By): Repository {
    const row = this.#row(namespace, name)
    const problems = listAnnotationProblems(changes)
    if (problems.length > 0) throw invalid(repositoryName(namespace, name), problems)
    const annotations = changed(readTexts(row.annotations), changes)
    const isOrder = Object.keys(changes).length === 1 && typeof changes[annotationNames.manualSync] === 'string'
    return this.#describe(row, { annotations, labels: readTexts(row.labels) }, by, isOrder)
  }

  /** Ends its syncs; what is in the local registry stays. */
  delete(namespace: string, name: string, by: By): void {
    const object = repositoryName(namespace, name)
    audited(this.#parts, { ...by, action: 'repositories:delete', object }, () => {
      const row = this.#row(namespace, name)
      this.#rows.remove(row.uid)
      this.#queue.drop(row.uid)
    })
    this.events.emit('deleted', { namespace, name })
  }

  /** Queues a sync and returns; one that has not begun yet serves for it. Ends roll-backs. Audited with its outcome, when it has ended. */
  sync(namespace: string, name: string, by: By): { success: boolean; message: string } {
    return { success: true, message: this.#request(this.#row(namespace, name), 'request', by) }
  }

  /** The last runs, the newest first. */
  runs(namespace: string, name: string): readonly SyncRun[] {
    return this.#rows.runs(this.#row(namespace, name).uid).map(readRun)
  }

  /** The tags of its path in the local registry, the newest version first. */
  async versions(namespace: string, name: string, signal: AbortSignal): Promise<readonly ImageVersion[]> {
    const { path } = this.#row(namespace, name)
    return await listVersions({ local: this.#options.local, repository: path, signal })
  }

  /** What differs between two versions: tags or digests. */
  async compare(
    namespace: string,
    name: string,
    a: string,
    b: string,
    signal: AbortSignal,
  ): Promise<VersionDifference> {
    const row = this.#row(namespace, name)
    const options = { local: this.#options.local, repository: row.path, signal }
    const [left, right] = [await findVersion(a, options), await findVersion(b, options)]
    if (left === undefined) throw noVersion(row, a)
    if (right === undefined) throw noVersion(row, b)
    return await compareVersionsOf(left, right, options)
  }

  /** Points its tag (`tag` with a pattern) at an earlier version, a tag or a digest, until somebody starts a sync. */
  async rollBack(
    namespace: string,
    name: string,
    to: { readonly version: string; readonly tag?: string },
    by: By,
    signal: AbortSignal,
  ): Promise<Repository> {
    const row = this.#row(namespace, name)
    const tag = tagToMove(readSpec(row), to.tag)
    if (tag === undefined) {
      throw invalid(repositoryName(namespace, name), [
        'tag: is required: expected one of the tags that it keeps in sync',
      ])
    }
    const event = { ...by, action: 'repositories:change', object: repositoryName(namespace, name) } as const
    const detail = { repository: row.path, tag }
    try {
      const digest = await this.#queue.alone(row, signal, bounded => this.#moveTag(row, tag, to.version, bounded))
      this.#options.audit.record({ ...event, outcome: 'success', detail: { ...detail, digest } })
    } catch (error) {
      const reason = error instanceof ManagementError ? error.reason : 'the version could not be put in place'
      this.#options.audit.record({ ...event, outcome: 'failure', detail: { ...detail, reason } })
      throw error
    }
    this.#tell(row.uid)
    return this.get(namespace, name)
  }

  /** What cleanup must leave alone. */
  holds(): readonly RepositoryHold[] {
    return this.#rows.holds().map(toHold)
  }

  /** Of that, what is in one path of the local registry. */
  holdsIn(repository: string): readonly RepositoryHold[] {
    return this.#rows.holdsIn(repository).map(toHold)
  }

  /** Failed runs since the start: `image_sync_failures`. */
  get failures(): number {
    return this.#queue.failures
  }

  /** Begins what is due; resolves when nothing runs any more. The schedule does the first every second by itself. */
  async tick(): Promise<void> {
    this.#queue.begin()
    await this.#queue.settle()
  }

  #creation(input: RepositoryInput, by: By): Step<Repository> {
    const { metadata, spec } = input
    const { namespace, name } = metadata
    const { repository: path, registryRef, fallbackRefs = [] } = spec
    const object = repositoryName(namespace, name)
    const work = () => {
      if (this.#rows.find(namespace, name)) throw alreadyExists(object)
      const problems = listCreationProblems(spec, this.#options.sources)
      if (problems.length > 0) throw invalid(object, problems)
      const { domain } = this.#options.sources.get(registryRef.namespace, registryRef.name).spec
      const taken = listTargetProblems(spec, domain, this.#rows.withPath(path))
      if (taken.length > 0) throw conflict(object, taken.join('; '))
      this.#rows.add(newRow(input, { domain, by, now: this.#now() }), [registryRef, ...fallbackRefs])
      return this.get(namespace, name)
    }
    return { event: { ...by, action: 'repositories:create', object, detail: { repository: path } }, work }
  }

  #begin(created: readonly Repository[]): void {
    for (const one of created) this.events.emit('changed', one)
    this.#queue.beginSoon()
  }

  async #moveTag(row: RepositoryRow, tag: string, version: string, signal: AbortSignal): Promise<string> {
    const digest = await rollBack({ spec: readSpec(row), tag, version }, this.#options, signal)
    if (digest === undefined) throw noVersion(row, version)
    this.#rows.setTag(row.uid, { tag, digest, rolledBack: true }, this.#now())
    this.#rows.touch(row.uid)
    return digest
  }

  #request(row: RepositoryRow, trigger: SyncTrigger, by: By): string {
    const isQueued = this.#queue.hasQueued(row)
    const shared = 'a sync is queued already'
    inTransaction(this.#options.state.db, () => {
      this.#rows.endRollBacks(row.uid)
      if (!isQueued) this.#rows.setDue(row.uid, { at: this.#now(), trigger, by: by.who, from: by.from })
      else this.#recordShared(row, by, shared)
    })
    this.#queue.beginSoon()
    if (isQueued) return shared
    return this.#queue.activity(row.uid) ? 'a sync is under way; another one follows it' : 'the sync is queued'
  }

  /** The sync itself is on record for whoever asked for it first. */
  #recordShared({ namespace, name, path }: RepositoryRow, by: By, reason: string): void {
    const object = repositoryName(namespace, name)
    const detail = { repository: path, reason }
    this.#options.audit.record({ ...by, action: 'repositories:sync', object, outcome: 'success', detail })
  }

  #describe(
    row: RepositoryRow,
    { annotations, labels }: { annotations: Texts; labels: Texts },
    by: By,
    isOrder = false,
  ): Repository {
    const { namespace, name, uid, path } = row
    const key = annotationNames.manualSync
    const isNew = annotations[key] !== undefined && annotations[key] !== readTexts(row.annotations)[key]
    const wantsSync = isOrder || isNew
    const after = audited(
      this.#parts,
      { ...by, action: 'repositories:change', object: repositoryName(namespace, name) },
      () => {
        const search = searchText(name, annotations, path)
        this.#rows.setMetadata({
          uid,
          annotations: JSON.stringify(annotations),
          labels: JSON.stringify(labels),
          search,
        })
        if (wantsSync) this.#request(row, 'annotation', by)
        return this.get(namespace, name)
      },
    )
    this.events.emit('changed', after)
    return after
  }

  #tell(uid: string): void {
    const row = this.events.listenerCount('changed') === 0 ? undefined : this.#rows.findByUid(uid)
    if (row !== undefined) this.events.emit('changed', this.#read(row))
  }

  #read(row: RepositoryRow): Repository {
    return toRepository(row, this.#rows.tags(row.uid), this.#queue.activity(row.uid))
  }

  #row(namespace: string, name: string): RepositoryRow {
    const row = this.#rows.find(namespace, name)
    if (row === undefined) throw notFound(repositoryName(namespace, name))
    return row
  }

  get #parts(): AuditedParts {
    return { db: this.#options.state.db, audit: this.#options.audit }
  }
}
