/**
 * The cleanup policies (ImageCleanupPolicy): kept, shown, tried without effect, run on their schedules. Used by http/ and cli/.
 * All methods that act take `by`: who asked, and from where. All throw ManagementError. Contract: "ImageCleanupPolicy".
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { createTask, type ScheduledTask } from 'node-cron'
import type { Logger } from 'pino'
import { type Static, Type } from 'typebox'
import type { Audit } from '../../access/audit.ts'
import type { By } from '../../access/tokens.ts'
import { Shape } from '../../oci/shape.ts'
import { type CleanupPolicyRow, CleanupPolicyRows } from '../../state/cleanup-policies.ts'
import type { State } from '../../state/database.ts'
import { type ImageCleanupPolicyInput, listAnnotationProblems, readImageCleanupPolicy } from '../documents.ts'
import { apiVersion, type ManagedObject } from '../kinds.ts'
import { alreadyExists, invalid, notFound } from '../management-error.ts'
import {
  type Applied,
  audited,
  auditedTogether,
  changed,
  type ListQuery,
  type Page,
  readTexts,
  type Step,
  searchText,
  toRowQuery,
} from '../objects.ts'
import type { Cleanup } from './cleanup.ts'
import { type CleanupSpec, decide, type Verdict } from './decide.ts'
import { nameOf } from './shelf.ts'

const LastRunShape = Type.Object({
  /** ISO 8601. */
  at: Type.String(),
  by: Type.String(),
  removed: Type.Integer(),
  bytesFreed: Type.Integer(),
  /** Why it could not be done. */
  error: Type.Optional(Type.String()),
})
export type CleanupLastRun = Static<typeof LastRunShape>

export interface CleanupPolicyStatus {
  readonly lastRun?: CleanupLastRun
  /** ISO 8601, by the clock and the time zone of this machine. */
  readonly nextRun?: string
}

export type ImageCleanupPolicy = ManagedObject<'ImageCleanupPolicy', CleanupSpec, CleanupPolicyStatus>

/** One image, and what becomes of it. */
export interface CleanupItem {
  readonly repository: string
  readonly tag: string
  readonly digest: string
  readonly action: 'keep' | 'remove'
  readonly reason: string
}

export interface CleanupReport {
  readonly items: readonly CleanupItem[]
  /** Of the content that nothing else needs; what an external registry frees is not known, and counts as 0. */
  readonly bytesFreed: number
  /** What can't be done with the local registry, in plain words. */
  readonly notes: readonly string[]
}

export interface PoliciesOptions {
  readonly state: Pick<State, 'db'>
  readonly cleanup: Cleanup
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now?: () => number
}

const kind = 'ImageCleanupPolicy'
const lastRunShape = new Shape(LastRunShape)

export class Policies {
  readonly #options: PoliciesOptions
  readonly #rows: CleanupPolicyRows
  readonly #now: () => number
  /** By `namespace/name`. */
  readonly #tasks = new Map<string, ScheduledTask>()
  readonly #stopping = new AbortController()
  #started = false

  constructor(options: PoliciesOptions) {
    this.#options = options
    this.#rows = new CleanupPolicyRows(options.state.db)
    this.#now = options.now ?? Date.now
  }

  start(): void {
    this.#started = true
    for (const row of this.#rows.all()) this.#schedule(row.namespace, row.name, readSpec(row))
  }

  /** Ends the schedules and the runs. */
  async stop(): Promise<void> {
    this.#started = false
    this.#stopping.abort()
    for (const key of [...this.#tasks.keys()]) this.#unschedule(key)
    await this.#options.cleanup.settled()
  }

  create(input: ImageCleanupPolicyInput, by: By): ImageCleanupPolicy {
    const { event, work } = this.#creation(input, by)
    audited(this.#parts, event, work)
    return this.#begin(input)
  }

  /** All of them, or none. @throws ManagementError that names the place of the one that is refused. */
  createAll(inputs: readonly ImageCleanupPolicyInput[], by: By): readonly ImageCleanupPolicy[] {
    const steps = inputs.map(input => this.#creation(input, by))
    auditedTogether(this.#parts, steps)
    return inputs.map(input => this.#begin(input))
  }

  /** Creates it, or changes what is different. Unlike a Repository, a policy may be changed in place. */
  apply(input: ImageCleanupPolicyInput, by: By): Applied<ImageCleanupPolicy> {
    const { namespace, name, annotations, labels } = input.metadata
    const row = this.#rows.find(namespace, name)
    if (row === undefined) return { object: this.create(input, by), outcome: 'created' }
    const [sameSpec, sameMetadata] = [
      isDeepStrictEqual(readSpec(row), input.spec),
      isDeepStrictEqual([readTexts(row.annotations), readTexts(row.labels)], [annotations, labels]),
    ]
    if (sameSpec && sameMetadata) return { object: this.#tell(row), outcome: 'unchanged' }
    const event = { ...by, action: 'policies:change', object: { kind, namespace, name } } as const
    audited(this.#parts, event, () => {
      if (!sameSpec) this.#rows.setSpec(row.uid, JSON.stringify(input.spec))
      if (!sameMetadata) this.#rows.setMetadata({ uid: row.uid, ...metadataColumns(name, annotations, labels) })
    })
    this.#schedule(namespace, name, input.spec)
    return { object: this.get(namespace, name), outcome: 'configured' }
  }

  get(namespace: string, name: string): ImageCleanupPolicy {
    return this.#tell(this.#find(namespace, name))
  }

  list(query: ListQuery): Page<ImageCleanupPolicy> {
    const { rows, total } = this.#rows.list(toRowQuery(query))
    return { items: rows.map(row => this.#tell(row)), totalItems: total }
  }

  /** Changes annotations; null removes one. */
  annotate(
    namespace: string,
    name: string,
    changes: Readonly<Record<string, string | null>>,
    by: By,
  ): ImageCleanupPolicy {
    const row = this.#find(namespace, name)
    const problems = listAnnotationProblems(changes)
    if (problems.length > 0) throw invalid({ kind, namespace, name }, problems)
    const annotations = changed(readTexts(row.annotations), changes)
    const columns = metadataColumns(name, annotations, readTexts(row.labels))
    const event = { ...by, action: 'policies:change', object: { kind, namespace, name } } as const
    audited(this.#parts, event, () => this.#rows.setMetadata({ uid: row.uid, ...columns }))
    return this.get(namespace, name)
  }

  delete(namespace: string, name: string, by: By): void {
    const row = this.#find(namespace, name)
    const event = { ...by, action: 'policies:delete', object: { kind, namespace, name } } as const
    audited(this.#parts, event, () => this.#rows.remove(row.uid))
    this.#unschedule(keyOf(namespace, name))
  }

  /** What a run would do now, with the reason for every image. Changes nothing. */
  async dryRun(namespace: string, name: string, signal: AbortSignal): Promise<CleanupReport> {
    const { shelf } = this.#options.cleanup
    const verdicts = await this.#decide(this.#find(namespace, name), signal)
    const footprint = await shelf.footprint(signal)
    let bytesFreed = 0
    for (const { image, action } of verdicts)
      if (action === 'remove') bytesFreed += footprint?.remove(nameOf(image)) ?? 0
    return { items: verdicts.map(toItem), bytesFreed, notes: shelf.limits }
  }

  /** Removes what the policy says, then what nothing needs any more. Its bytes are those that have really gone. */
  async run(namespace: string, name: string, by: By, signal: AbortSignal): Promise<CleanupReport> {
    const row = this.#find(namespace, name)
    const whole = AbortSignal.any([signal, this.#stopping.signal])
    const run = { by, namespace, name, uid: row.uid }
    try {
      const report = await this.#options.cleanup.inTurn(() => this.#clean(row, whole))
      this.#ended(run, { removed: countRemoved(report), bytesFreed: report.bytesFreed })
      return report
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#ended(run, { removed: 0, bytesFreed: 0, error: message })
      throw error
    }
  }

  #creation(input: ImageCleanupPolicyInput, by: By): Step<void> {
    const { namespace, name } = input.metadata
    const object = { kind, namespace, name }
    const work = () => {
      if (this.#rows.find(namespace, name)) throw alreadyExists(object)
      this.#rows.add(newRow(input, this.#now()))
    }
    return { event: { ...by, action: 'policies:create', object }, work }
  }

  #begin({ metadata: { namespace, name }, spec }: ImageCleanupPolicyInput): ImageCleanupPolicy {
    this.#schedule(namespace, name, spec)
    return this.get(namespace, name)
  }

  get #parts() {
    return { db: this.#options.state.db, audit: this.#options.audit }
  }

  async #clean(row: CleanupPolicyRow, signal: AbortSignal): Promise<CleanupReport> {
    const { cleanup } = this.#options
    signal.throwIfAborted()
    const verdicts = await this.#decide(row, signal)
    const images = verdicts.filter(verdict => verdict.action === 'remove').map(verdict => verdict.image)
    const result = await cleanup.remove(images, `policy ${keyOf(row.namespace, row.name)}`, signal)
    const kept = new Map(result.kept.map(({ image, reason }) => [image, reason]))
    const items = verdicts.map(verdict => {
      const reason = kept.get(verdict.image)
      return toItem(reason === undefined ? verdict : { ...verdict, action: 'keep', reason })
    })
    return { items, bytesFreed: result.collected?.bytes ?? 0, notes: cleanup.shelf.limits }
  }

  async #decide(row: CleanupPolicyRow, signal: AbortSignal): Promise<Verdict[]> {
    const { cleanup } = this.#options
    const images = await cleanup.shelf.images(signal)
    const holds = cleanup.holds()
    return decide(images, {
      spec: readSpec(row),
      namespace: row.namespace,
      namespacesOf: cleanup.namespacesOf(),
      holderOf: image => holds.holderOf(image),
      now: this.#now(),
    })
  }

  #ended(
    { by, namespace, name, uid }: { by: By; namespace: string; name: string; uid: string },
    result: { removed: number; bytesFreed: number; error?: string },
  ): void {
    const at = new Date(this.#now()).toISOString()
    this.#rows.setLastRun(uid, JSON.stringify({ at, by: by.who, ...result }))
    this.#options.audit.record({
      ...by,
      action: 'policies:sync',
      object: { kind, namespace, name },
      outcome: result.error === undefined ? 'success' : 'failure',
      detail: { count: result.removed, bytes: result.bytesFreed },
    })
    this.#options.logger.info({ policy: keyOf(namespace, name), by: by.who, ...result }, 'cleanup ended')
  }

  /** Begins the policy's schedule anew. By the clock and the time zone of this machine. */
  #schedule(namespace: string, name: string, spec: CleanupSpec): void {
    const key = keyOf(namespace, name)
    this.#unschedule(key)
    if (!this.#started || spec.schedule === undefined) return
    const run = () =>
      this.run(namespace, name, { who: 'system' }, this.#stopping.signal).catch(error => {
        if (!this.#stopping.signal.aborted) this.#options.logger.error({ err: error, policy: key }, 'cleanup failed')
      })
    const task = createTask(spec.schedule, run, {
      name: key,
      noOverlap: true,
      unref: true,
      suppressMissedWarning: true,
    })
    this.#tasks.set(key, task)
    void task.start()
  }

  #unschedule(key: string): void {
    const task = this.#tasks.get(key)
    this.#tasks.delete(key)
    void task?.destroy()
  }

  #find(namespace: string, name: string): CleanupPolicyRow {
    const row = this.#rows.find(namespace, name)
    if (row === undefined) throw notFound({ kind, namespace, name })
    return row
  }

  #tell(row: CleanupPolicyRow): ImageCleanupPolicy {
    const { namespace, name, uid, version, createdAt } = row
    const nextRun = this.#tasks.get(keyOf(namespace, name))?.getNextRun()
    return {
      apiVersion,
      kind,
      metadata: {
        ...{ name, namespace, uid, resourceVersion: String(version) },
        creationTimestamp: new Date(createdAt).toISOString().replace(/\.\d+Z$/, 'Z'),
        annotations: readTexts(row.annotations),
        labels: readTexts(row.labels),
      },
      spec: readSpec(row),
      status: {
        ...(row.lastRun === null ? {} : { lastRun: lastRunShape.parse(JSON.parse(row.lastRun)) }),
        ...(nextRun ? { nextRun: nextRun.toISOString() } : {}),
      },
    }
  }
}

function newRow({ metadata, spec }: ImageCleanupPolicyInput, createdAt: number) {
  const { namespace, name, annotations, labels } = metadata
  return {
    ...{ namespace, name, uid: randomUUID(), createdAt, spec: JSON.stringify(spec) },
    ...metadataColumns(name, annotations, labels),
  }
}

function metadataColumns(
  name: string,
  annotations: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
) {
  const search = searchText(name, annotations, '')
  return { annotations: JSON.stringify(annotations), labels: JSON.stringify(labels), search }
}

/** Read by the same check as a document from outside: what an older version has stored is told the same way. */
function readSpec({ namespace, name, spec }: CleanupPolicyRow): CleanupSpec {
  return readImageCleanupPolicy({ metadata: { namespace, name }, spec: JSON.parse(spec) }).spec
}

function toItem({ image, action, reason }: Verdict): CleanupItem {
  return { repository: image.repository, tag: image.tag, digest: image.digest, action, reason }
}

function countRemoved(report: CleanupReport): number {
  return report.items.filter(item => item.action === 'remove').length
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`
}
