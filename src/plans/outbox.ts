/**
 * What the broker still has to be told: every status until it is acknowledged, and the clearing of those whose plan was
 * withdrawn a day ago. Filled by plans/, emptied by mqtt/. Plan contract, "Status".
 */
import type { State } from '../state/database.ts'
import { type OutboxKind, type OutboxRow, OutboxRows } from '../state/outbox.ts'
import { PlanRows } from '../state/plans.ts'
import { isTerminal } from './status.ts'

/** How long the retained status of a withdrawn plan stays after its withdrawal was reported, in milliseconds. */
export const clearAfterMs = 24 * 60 * 60 * 1000

/**
 * Changes of phase of one plan that may wait for the broker: those of a whole pass, so that one who listens hears of each. While the
 * broker is away, the oldest are dropped: nobody needs all of a day's retries, and the newest says how the plan is.
 */
const maxInterim = 8

/** Refusals beside a standing plan that may wait for the broker; beyond them the oldest are dropped. */
const maxRefusals = 10_000

export interface OutboxMessage {
  /** Place in the outbox; given back to {@link Outbox.acknowledged}. Grows, but is not the status's own `seq`. */
  readonly seq: number
  /** Under the edge's own topic: `plans/<plan>/status`. */
  readonly topic: string
  /** JSON; empty to clear the retained status. */
  readonly payload: string
  readonly retain: boolean
}

export interface OutboxOptions {
  readonly state: Pick<State, 'db'>
  /** Epoch milliseconds. */
  readonly now?: () => number
}

export class Outbox {
  readonly #rows: OutboxRows
  readonly #plans: PlanRows
  readonly #now: () => number

  constructor(options: OutboxOptions) {
    this.#rows = new OutboxRows(options.state.db)
    this.#plans = new PlanRows(options.state.db)
    this.#now = options.now ?? Date.now
  }

  /**
   * The oldest messages, in the order in which they have to be published, from the first after `after`. A message may be gone
   * by the time it is acknowledged: a newer status of the same plan took its place.
   */
  next(limit: number, after = 0): OutboxMessage[] {
    return this.#rows.list(after, limit).map(toMessage)
  }

  /** The broker has taken it. Unknown numbers are ignored. */
  acknowledged(seq: number): void {
    this.#plans.transaction(() => {
      const row = this.#rows.find(seq)
      if (row === undefined) return
      this.#rows.remove(seq)
      this.#afterAcknowledgement(row)
    })
  }

  /**
   * Queues every plan's current status once more, with the `seq` that it has: for a broker that may have lost what it retained.
   * Those that wait already are left as they are.
   */
  repeatAll(): void {
    this.#plans.transaction(() => {
      for (const { name, seq, phase, document } of this.#plans.statuses()) {
        if (!this.#rows.has(name, seq)) this.addStatus(name, seq, isTerminal(phase) ? 'terminal' : 'interim', document)
      }
    })
  }

  /** Messages that wait. */
  get size(): number {
    return this.#rows.count()
  }

  /** Whether {@link continueFrom} was called since the state folder was made, be it by an earlier process. */
  get isTakenUp(): boolean {
    return this.#plans.last('seq taken up') > 0
  }

  /**
   * Lets the sequence of statuses go on after `seq`, the highest seen in a retained status of this edge, 0 where there is none: after
   * the loss of the state folder it must not start again. To be called before plans are received.
   */
  continueFrom(seq: number): void {
    this.#plans.transaction(() => {
      this.#plans.raise('seq', seq)
      this.#plans.raise('seq taken up', 1)
    })
  }

  /** Queues a status. Belongs into the transaction that writes the status itself. */
  addStatus(plan: string, seq: number, kind: Exclude<OutboxKind, 'clear'>, payload: string): void {
    this.#rows.add({ plan, seq, kind, payload })
    if (kind === 'interim') this.#rows.pruneInterim(plan, maxInterim)
    if (kind === 'refusal') this.#rows.pruneRefusals(maxRefusals)
  }

  /** Queues the clearing of a retained status. */
  addClear(plan: string): void {
    this.#rows.add({ plan, seq: null, kind: 'clear', payload: '' })
  }

  #afterAcknowledgement(row: OutboxRow): void {
    const status = this.#plans.status(row.plan)
    if (row.seq === null || status === undefined || status.seq !== row.seq) return
    // A status that was only repeated has its time already
    if (status.phase === 'Withdrawn' && status.clearAt === null) {
      this.#plans.setClearAt(row.plan, row.seq, this.#now() + clearAfterMs)
    }
  }
}

function toMessage(row: OutboxRow): OutboxMessage {
  return { seq: row.id, topic: `plans/${row.plan}/status`, payload: row.payload, retain: row.kind !== 'refusal' }
}
