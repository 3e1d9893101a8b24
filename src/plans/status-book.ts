/**
 * Where statuses are written: each takes the next number of the edge's sequence, and is committed together with what it tells
 * about and its message for the broker. Listeners hear of it after the commit. Used by the intake and the queue.
 */
import { Shape } from '../oci/shape.ts'
import type { PlanRows, Scope, StatusRow } from '../state/plans.ts'
import { clearAfterMs, type Outbox } from './outbox.ts'
import { finishStatus, isTerminal, type PlanStatus, PlanStatusSchema, type StatusDraft } from './status.ts'

export interface StatusBookOptions {
  readonly rows: PlanRows
  readonly outbox: Outbox
  readonly edge: string
  /** Whether there is a broker to tell. */
  readonly report: boolean
  readonly now: () => number
  /** Called after the commit, once for each status that was written. */
  readonly written: (status: PlanStatus) => void
}

/** What changes beside the status itself. */
export interface StatusChange {
  readonly started?: boolean
  readonly supersededBy?: string
}

export class StatusBook {
  readonly #options: StatusBookOptions
  #fresh: PlanStatus[] = []

  constructor(options: StatusBookOptions) {
    this.#options = options
  }

  /** Runs `work` as one transaction, nested ones included; then tells the listeners what was written. */
  write<T>(work: () => T): T {
    if (this.#options.rows.inTransaction) return work()
    this.#fresh = []
    const result = this.#options.rows.transaction(work)
    const fresh = this.#fresh
    this.#fresh = []
    for (const status of fresh) this.#options.written(status)
    return result
  }

  /** The first status of a run, which takes the place of the plan's last one. */
  begin(draft: StatusDraft, place: { run: number; scope: Scope }): PlanStatus {
    const before = this.#options.rows.status(draft.plan)
    const readyRun = before === undefined || before.phase === 'Withdrawn' ? null : before.readyRun
    return this.write(() => this.#put(draft, { ...place, started: false, readyRun, supersededBy: null }))
  }

  /** The next status of a run. Nothing is written for a run that is not the plan's current one any more. */
  record(draft: StatusDraft, run: number, change: StatusChange = {}): PlanStatus | undefined {
    return this.write(() => {
      const { rows } = this.#options
      const row = rows.status(draft.plan)
      if (row === undefined || row.run !== run) return undefined
      const readyRun = draft.phase === 'Ready' ? run : draft.phase === 'Withdrawn' ? null : row.readyRun
      if (draft.phase === 'Ready') rows.removeOtherRuns(draft.plan, run, null)
      if (draft.phase === 'Withdrawn') rows.removeWanted(draft.plan)
      return this.#put(draft, {
        run,
        scope: row.scope,
        started: row.started,
        supersededBy: row.supersededBy,
        ...change,
        readyRun,
      })
    })
  }

  /** Answers a plan that is refused beside one that stands, whose own status stays. */
  refuse(draft: StatusDraft): PlanStatus {
    return this.write(() => {
      const status = this.#finish(draft)
      if (this.#options.report)
        this.#options.outbox.addStatus(draft.plan, status.seq, 'refusal', JSON.stringify(status))
      this.#fresh.push(status)
      return status
    })
  }

  /** Queues the statuses that were written while there was no broker to tell. */
  reportUntold(): void {
    if (!this.#options.report) return
    this.write(() => {
      for (const row of this.#options.rows.statuses()) {
        if (row.queuedSeq >= row.seq) continue
        const status = readStatus(row)
        this.#options.outbox.addStatus(
          row.name,
          row.seq,
          isTerminal(status.phase) ? 'terminal' : 'interim',
          row.document,
        )
        this.#options.rows.putStatus({ ...row, queuedSeq: row.seq, clearAt: null })
      }
    })
  }

  /** Takes a plan's status away, here and from the broker. */
  clear(name: string): void {
    this.write(() => {
      if (this.#options.report) this.#options.outbox.addClear(name)
      this.#options.rows.removeWanted(name)
      this.#options.rows.removeStatus(name)
    })
  }

  #put(
    draft: StatusDraft,
    place: Pick<StatusRow, 'run' | 'scope' | 'started' | 'readyRun' | 'supersededBy'>,
  ): PlanStatus {
    const { rows, outbox, report, now } = this.#options
    const status = this.#finish(draft)
    const document = JSON.stringify(status)
    if (report) outbox.addStatus(draft.plan, status.seq, isTerminal(draft.phase) ? 'terminal' : 'interim', document)
    rows.putStatus({
      ...place,
      name: draft.plan,
      phase: draft.phase,
      seq: status.seq,
      document,
      queuedSeq: report ? status.seq : 0,
      // with a broker, the day begins when it has acknowledged the withdrawal
      clearAt: draft.phase === 'Withdrawn' && !report ? now() + clearAfterMs : null,
    })
    this.#fresh.push(status)
    return status
  }

  #finish(draft: StatusDraft): PlanStatus {
    const { rows, edge, now } = this.#options
    return finishStatus(draft, { edge, seq: rows.next('seq'), at: now() })
  }
}

const shape = new Shape(PlanStatusSchema)

/** The status in a row. @throws Error when the row was written by something else. */
export function readStatus(row: StatusRow): PlanStatus {
  const document: unknown = JSON.parse(row.document)
  if (shape.check(document)) return document
  throw new Error(`the status of the plan "${row.name}" in the database does not have its form`)
}
