/**
 * One account of a budget: what was used in the period, and what that leaves. What is used beyond the limit is a debt, which the
 * next periods pay first. Used by budget.ts.
 */
import type { BudgetUse } from '../../state/budget.ts'
import type { Period } from './period.ts'

export interface AccountRows {
  find(account: string): BudgetUse | undefined
  put(account: string, use: BudgetUse): void
}

export interface AccountOptions {
  readonly name: string
  /** Bytes a period. */
  readonly limit: number
  readonly period: Period
  readonly rows: AccountRows
}

/** A write ahead is so much of the limit, between these two, in bytes: what a crash costs at most, and how often is written. */
const aheadShare = 1 / 200
const [leastAhead, mostAhead] = [64 * 1024, 16 * 1024 * 1024]

/** Periods that a debt is followed through. */
const maxPeriods = 1000

export class Account {
  readonly name: string
  readonly limit: number
  readonly #options: AccountOptions
  #start = 0
  #end = 0
  #used = 0
  /** What is on disk: at least what is used. */
  #written = 0

  constructor(options: AccountOptions) {
    this.name = options.name
    this.limit = options.limit
    this.#options = options
  }

  /** Takes up what an earlier process has written: after a crash that is more than it used, never less. */
  load(now: number): void {
    const { rows, period } = this.#options
    const last = rows.find(this.name)
    this.#start = last?.periodStart ?? period.startOf(now)
    this.#end = this.#start // unknown until the turn
    this.#used = last?.bytes ?? 0
    this.#written = last?.bytes ?? -1
    this.#turn(now)
  }

  /** Counts bytes. @throws what the database throws; they are counted nevertheless. */
  add(bytes: number, now: number): void {
    this.#turn(now)
    this.#used += bytes
    if (this.#used > this.#written) this.#write(this.#used + this.#ahead())
  }

  /** Writes down what is really used. */
  save(now: number): void {
    this.#turn(now)
    if (this.#written !== this.#used) this.#write(this.#used)
  }

  /** Bytes used in the period, with the debt that it began with. */
  used(now: number): number {
    this.#turn(now)
    return this.#used
  }

  left(now: number): number {
    return Math.max(0, this.limit - this.used(now))
  }

  /** Bytes beyond the limit, which the next period begins with. */
  debt(now: number): number {
    return Math.max(0, this.used(now) - this.limit)
  }

  resetsAt(now: number): number {
    this.#turn(now)
    return this.#end
  }

  /** The end of the period that a moment to come is in. */
  periodAfter(moment: number): number {
    return this.#options.period.endOf(moment)
  }

  /** From when on something is left again: now, or after the periods that the debt takes. */
  opensAt(now: number): number {
    let [at, used] = [now, this.used(now)]
    for (let periods = 0; used >= this.limit && periods < maxPeriods; periods++) {
      at = this.#options.period.endOf(at)
      used -= this.limit
    }
    return at
  }

  /** Begins a new period when its time has come. */
  #turn(now: number): void {
    if (this.#start <= now && now < this.#end) return
    const { period } = this.#options
    const start = period.startOf(now)
    this.#end = period.endOf(now)
    if (start === this.#start) return
    // A clock that was put back gives no new budget, and one that had been ahead doesn't hold the old one for ever.
    for (let at = this.#start; at < start && this.#used > 0; at = period.endOf(at)) {
      this.#used = Math.max(0, this.#used - this.limit)
    }
    this.#start = start
    this.#written = -1
  }

  #ahead(): number {
    return Math.round(Math.min(mostAhead, Math.max(leastAhead, this.limit * aheadShare)))
  }

  #write(bytes: number): void {
    this.#written = bytes
    this.#options.rows.put(this.name, { periodStart: this.#start, bytes })
  }
}
