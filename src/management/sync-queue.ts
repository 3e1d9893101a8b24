/**
 * Which Repositories are synced now: what is due, the longest overdue first, so many at once. What is due is a row; that it runs is known
 * to this process alone, so a crash leaves nothing behind but the row, which is due still. Used by repositories.ts.
 */
import type { Logger } from 'pino'
import { type ImageError, toImageError } from '../oci/errors.ts'
import type { RepositoryRow, RepositoryRows } from '../state/repositories.ts'
import type { Obstacle } from '../transfer/link/obstacle.ts'
import { parseGoDuration } from './go-duration.ts'
import { conflict } from './management-error.ts'
import type { AuditLog } from './objects.ts'
import type { Activity, SyncRun } from './repository-object.ts'
import { describeWanted, readSpec, repositoryName, toWait } from './repository-object.ts'
import { runSync, type SyncParts, type SyncResult } from './sync.ts'

export interface SyncQueueOptions {
  readonly rows: RepositoryRows
  readonly parts: SyncParts
  readonly audit: AuditLog
  readonly logger: Logger
  /** Syncs at once. */
  readonly maxRuns: number
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** A run began, went on by a hundredth, or ended. */
  readonly changed: (uid: string) => void
  /** Runs one transaction. */
  readonly transaction: <T>(work: () => T) => T
}

/** A run that goes on; or something else that must have the Repository to itself. */
interface Active extends Activity {
  progress: number
  /** As its row says; undefined where it is no run. Epoch milliseconds. */
  readonly dueAt: number | undefined
  readonly controller: AbortController
  readonly ended: Promise<void>
}

/** Runs that are remembered of each Repository. */
const runsKept = 20
/** No interval is shortened by more than this, in milliseconds. */
const maxJitterMs = 300_000
/** A run that waits for the link looks again at least so often: what keeps it back may have been changed. Milliseconds. */
const longestWaitMs = 24 * 3_600_000

export class SyncQueue {
  readonly #options: SyncQueueOptions
  /** By uid. */
  readonly #active = new Map<string, Active>()
  #failures = 0
  #open = false
  #looking: NodeJS.Immediate | undefined

  constructor(options: SyncQueueOptions) {
    this.#options = options
  }

  start(): void {
    this.#open = true
    // The windows and the budget may be others by now.
    this.#options.rows.endWaits(this.#options.now())
    this.begin()
  }

  /** Ends every run. They are due still, and begin anew with the next start. */
  async stop(): Promise<void> {
    this.#open = false
    clearImmediate(this.#looking)
    for (const { controller } of this.#active.values()) controller.abort(new Error('the syncs are stopped'))
    await this.settle()
  }

  /** Failed runs since the start. */
  get failures(): number {
    return this.#failures
  }

  activity(uid: string): Activity | undefined {
    return this.#active.get(uid)
  }

  /** Whether a sync that somebody asked for has yet to begin. One that runs may have seen the source as it was before. */
  hasQueued({ uid, trigger, dueAt }: RepositoryRow): boolean {
    return trigger !== 'schedule' && dueAt <= this.#options.now() && dueAt !== this.#active.get(uid)?.dueAt
  }

  /** Begins what is due, as much as may run at once. Called every second, and whenever something has become due. */
  begin(): void {
    if (!this.#open) return
    const { rows, maxRuns, now } = this.#options
    if (this.#active.size >= maxRuns) return
    for (const row of rows.due(now(), maxRuns + this.#active.size)) {
      if (this.#active.size >= maxRuns) return
      if (!this.#active.has(row.uid)) this.#begin(row)
    }
  }

  /** The same, once whoever asks has returned. */
  beginSoon(): void {
    if (!this.#open) return
    this.#looking ??= setImmediate(() => {
      this.#looking = undefined
      try {
        this.begin()
      } catch (error) {
        this.#options.logger.error({ err: error }, 'what is due could not be looked up')
      }
    })
  }

  /** Ends the run of a Repository that is no longer wanted. */
  drop(uid: string): void {
    this.#active.get(uid)?.controller.abort(new Error('the Repository was deleted'))
  }

  /** Does something with a Repository while no sync of it runs. @throws ManagementError `Conflict` while one does. */
  async alone<T>(row: RepositoryRow, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#active.has(row.uid)) {
      const { namespace, name } = row
      throw conflict(repositoryName(namespace, name), `Repository "${name}" is being synced: try again in a moment`)
    }
    const controller = new AbortController()
    const done = Promise.withResolvers<void>()
    this.#active.set(row.uid, { progress: 0, dueAt: undefined, controller, ended: done.promise })
    try {
      return await work(AbortSignal.any([signal, controller.signal]))
    } finally {
      this.#active.delete(row.uid)
      done.resolve()
      this.beginSoon()
    }
  }

  /** Resolves when nothing runs. */
  async settle(): Promise<void> {
    while (this.#active.size > 0) await Promise.allSettled([...this.#active.values()].map(({ ended }) => ended))
  }

  #begin(row: RepositoryRow): void {
    const controller = new AbortController()
    const done = Promise.withResolvers<void>()
    const active: Active = { progress: 0, dueAt: row.dueAt, controller, ended: done.promise }
    this.#active.set(row.uid, active)
    const end = (wasWritten: boolean) => {
      this.#active.delete(row.uid)
      done.resolve()
      this.#options.changed(row.uid)
      // Else it is due still, and would begin again and again: the next tick is soon enough.
      if (wasWritten) this.beginSoon()
    }
    this.#run(row, active).then(
      () => end(true),
      (error: unknown) => {
        if (!controller.signal.aborted) {
          this.#options.logger.error({ err: error, name: row.name }, 'the end of a sync could not be written down')
        }
        end(controller.signal.aborted)
      },
    )
  }

  async #run(row: RepositoryRow, active: Active): Promise<void> {
    const { rows, changed, now, parts } = this.#options
    const startedAt = now()
    const began = performance.now()
    rows.touch(row.uid)
    changed(row.uid)
    const result = await this.#sync(row, active, parts)
    active.controller.signal.throwIfAborted()
    const durationMs = Math.round(performance.now() - began)
    const run = toRun(row, result, { startedAt, endedAt: now(), durationMs })
    if (result.obstacle === undefined) this.#end(row, result, run, active.progress)
    else this.#keepBack(row, result.obstacle, run, active.progress)
  }

  async #sync(row: RepositoryRow, active: Active, parts: SyncParts): Promise<SyncResult> {
    const { rows, changed, now } = this.#options
    const spec = readSpec(row)
    const tags = rows.tags(row.uid)
    try {
      const job = {
        spec,
        rolledBack: new Set(tags.filter(tag => tag.rolledBack).map(({ tag }) => tag)),
        signal: active.controller.signal,
        progress: (part: number) => {
          const grown = Math.floor(part * 100) > Math.floor(active.progress * 100)
          active.progress = part
          if (grown) changed(row.uid)
        },
        placed: (tag: string, digest: string) => rows.setTag(row.uid, { tag, digest, rolledBack: false }, now()),
      }
      return await runSync(job, parts)
    } catch (error) {
      active.controller.signal.throwIfAborted()
      // Nothing that was foreseen: a disk that is full for the state, a fault of ours.
      return { error: toImageError(error), attempts: 1, bytesMoved: 0, tags: [], notes: [] }
    }
  }

  #end(row: RepositoryRow, result: SyncResult, run: SyncRun, progress: number): void {
    const { rows, transaction, now } = this.#options
    const { uid } = row
    transaction(() => {
      const { error, manifest, tags } = result
      rows.endRun(
        uid,
        {
          outcome: error === undefined ? 'Success' : 'Failed',
          lastSynced: error === undefined ? now() : null,
          manifest: manifest === undefined ? null : JSON.stringify(manifest),
          error: run.error === undefined ? null : JSON.stringify(run.error),
          progress,
          run: JSON.stringify(run),
        },
        runsKept,
      )
      if (error === undefined) rows.keepTags(uid, tags)
      // Asked for anew meanwhile? Then it is due as it was asked.
      const current = rows.findByUid(uid)
      if (current?.dueAt === row.dueAt) rows.setDue(uid, { at: this.#nextRun(row), trigger: 'schedule', by: 'system' })
      this.#audit(row, run)
    })
    this.#tell(row, result, run)
  }

  /** It is due, for whoever asked for it, when the link is open to it. What the last run brought stays what is said of it. */
  #keepBack(row: RepositoryRow, obstacle: Obstacle, run: SyncRun, progress: number): void {
    const { rows, transaction, now, logger } = this.#options
    const { uid, namespace, name } = row
    const dueAt = Math.min(obstacle.until ?? this.#nextRun(row), now() + longestWaitMs)
    transaction(() => {
      rows.addRun(uid, { progress, run: JSON.stringify(run) }, runsKept)
      // Asked for anew meanwhile? Then it is due as it was asked.
      if (rows.findByUid(uid)?.dueAt === row.dueAt) rows.setWait(uid, dueAt, JSON.stringify(toWait(obstacle)))
    })
    logger.info({ namespace, name, bytesMoved: run.bytesMoved, reason: obstacle.message }, 'sync waits for the link')
  }

  /** What somebody asked for is audited with its outcome; what the schedule does stands in the runs. */
  #audit(row: RepositoryRow, run: SyncRun): void {
    if (run.trigger === 'schedule') return
    const { namespace, name, requestedBy, requestedFrom } = row
    this.#options.audit.record({
      ...{ who: requestedBy, from: requestedFrom ?? undefined },
      ...{ action: 'repositories:sync', object: repositoryName(namespace, name) },
      outcome: run.outcome === 'Success' ? 'success' : 'failure',
      detail: {
        ...{ repository: row.path, bytes: run.bytesMoved, durationMs: run.durationMs },
        ...(run.digest === undefined ? {} : { digest: run.digest }),
        ...(run.error === undefined ? {} : { reason: run.error.code }),
      },
    })
  }

  #tell(row: RepositoryRow, { error }: SyncResult, run: SyncRun): void {
    const { namespace, name } = row
    const { trigger, attempts, bytesMoved, durationMs } = run
    const facts = { namespace, name, image: describeWanted(readSpec(row)), trigger, attempts, bytesMoved, durationMs }
    if (error === undefined) {
      this.#options.logger.info(facts, 'synced')
      return
    }
    this.#failures += 1
    this.#options.logger.warn({ ...facts, code: error.code, reason: error.message, hint: error.hint }, 'sync failed')
  }

  /** An interval after this run has ended, up to a tenth earlier, so that those made together drift apart. */
  #nextRun(row: RepositoryRow): number {
    const interval = parseGoDuration(readSpec(row).syncInterval) ?? 3_600_000
    return Math.round(this.#options.now() + interval - Math.min(interval / 10, maxJitterMs) * this.#options.random())
  }
}

function toRun(
  row: RepositoryRow,
  { error, obstacle, source, attempts, bytesMoved, root, notes }: SyncResult,
  { startedAt, endedAt, durationMs }: { startedAt: number; endedAt: number; durationMs: number },
): SyncRun {
  return {
    ...{ trigger: row.trigger, by: row.requestedBy, durationMs, attempts, bytesMoved },
    notes: obstacle === undefined ? [...notes] : [...notes, obstacle.message],
    startedAt: new Date(startedAt).toISOString(),
    endedAt: new Date(endedAt).toISOString(),
    outcome: obstacle !== undefined ? 'Waiting' : error === undefined ? 'Success' : 'Failed',
    ...(source === undefined ? {} : { source: `${source.namespace}/${source.name}` }),
    ...(root === undefined ? {} : { digest: root.digest }),
    ...(error === undefined ? {} : { error: describe(error) }),
  }
}

function describe({ code, message, doing, hint }: ImageError) {
  const what = doing === undefined ? message : `${doing}: ${message}`
  return { code, message: what.slice(0, 1024), hint }
}
