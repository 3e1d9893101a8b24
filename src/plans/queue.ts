/**
 * Which plans run now: at most `maxRuns`, by priority, then by arrival. A plan that has failed for the moment, or that the
 * link is closed to, waits outside the line. What is in the line follows the plans' statuses on disk: the intake changes those, and says so.
 */
import type { Logger } from 'pino'
import type { BackoffOptions } from '../oci/backoff.ts'
import type { State } from '../state/database.ts'
import type { PlanRows, StatusRow } from '../state/plans.ts'
import type { TransferEngine } from '../transfer/engine.ts'
import { LinkClosed, soonest } from '../transfer/link/obstacle.ts'
import { Deadlines } from './deadlines.ts'
import type { Intake } from './intake.ts'
import { compareTurns, createEntry, type Entry, precedes, type Standing } from './line.ts'
import { contextOf } from './pass-context.ts'
import type { ProgressOptions } from './progress.ts'
import { runPass } from './run.ts'
import type { Outcome, RunContext } from './run-context.ts'
import type { RunReport, Why } from './run-report.ts'
import { formatTime, isTerminal, joinTexts, type Phase } from './status.ts'
import type { StatusBook, StatusChange } from './status-book.ts'
import { type Setback, waitAfter, waitWhenBack } from './waits.ts'

export interface QueueOptions {
  readonly state: Pick<State, 'db'>
  readonly rows: PlanRows
  readonly book: StatusBook
  readonly intake: Pick<Intake, 'planOf' | 'settleConflicts'>
  readonly engine: TransferEngine
  readonly retry: BackoffOptions
  readonly maxRuns: number
  readonly progress: ProgressOptions
  /** Bytes a second that hosts have given before, where it is known. */
  readonly rate: (hosts: readonly string[]) => number | undefined
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** A pass that goes on, or is just being stopped. */
interface Running {
  readonly entry: Entry
  readonly controller: AbortController
  readonly ended: Promise<void>
}

export class PlanQueue {
  readonly #options: QueueOptions
  readonly #deadlines: Deadlines
  /** By plan. */
  readonly #entries = new Map<string, Entry>()
  readonly #running = new Map<string, Running>()
  #pumping: NodeJS.Immediate | undefined
  #open = false

  constructor(options: QueueOptions) {
    this.#options = options
    const { engine, rate, now } = options
    const changed = (entry: Entry) => entry.last && this.#record(entry, entry.last.phase, entry.last.why)
    this.#deadlines = new Deadlines({ engine, rate, now, changed })
  }

  /** Lines up every plan that has not ended, and begins. */
  start(): void {
    this.#open = true
    for (const row of this.#options.rows.statuses()) this.changed(row.name)
  }

  /** Stops every run. What has arrived stays on disk, and the statuses as they are. */
  async stop(): Promise<void> {
    this.#open = false
    clearImmediate(this.#pumping)
    this.#pumping = undefined
    for (const { controller } of this.#running.values()) controller.abort()
    await Promise.allSettled([...this.#running.values()].map(running => running.ended))
    // Only now: a pass that was just ending may have set its next try
    for (const entry of this.#entries.values()) entry.parked?.()
    this.#entries.clear()
  }

  /** The plan's status on disk may have changed: it joins the line, leaves it, or begins anew. */
  changed(name: string): void {
    if (!this.#open) return
    const row = this.#options.rows.status(name)
    const live = row !== undefined && !isTerminal(row.phase)
    const entry = this.#entries.get(name)
    if (entry && !(live && row.run === entry.run)) this.#leave(name, entry)
    if (live && !this.#entries.has(name)) this.#join(row)
    this.#pump()
  }

  /** Ends the wait for the next try, or for the link. */
  wake(name: string): boolean {
    const entry = this.#entries.get(name)
    if (entry?.parked === undefined) return false
    this.#endWait(entry)
    return true
  }

  /** Something comes over the link again: what waits for that is tried at once, or soon where the last time was of no use. */
  linkIsBack(): void {
    const now = this.#options.now()
    const sooner: Entry[] = []
    for (const entry of this.#entries.values()) {
      if (entry.parked === undefined || entry.last?.why.reason !== 'Link') continue
      const at = now + waitWhenBack(entry, now)
      entry.woken = entry.justWoken = true
      if (at === now) this.#endWait(entry)
      else if (at < (entry.nextTryAt ?? 0)) {
        this.#waitUntil(entry, at)
        sooner.push(entry)
      }
    }
    if (sooner.length > 0) this.#tellSooner(sooner)
  }

  /** Whoever tells that the link is back has other things to do than to hear of a full disk. */
  #tellSooner(entries: readonly Entry[]): void {
    try {
      this.#options.book.write(() => {
        for (const entry of entries) this.#tellRetry(entry)
      })
    } catch (error) {
      this.#options.logger.error({ err: error }, 'it could not be written down that plans are tried again sooner')
    }
  }

  /** Reports plans as expired that waited in the line for too long, and what is new about when the others will be here. */
  review(): void {
    for (const [name, entry] of this.#entries) if (!this.#running.has(name)) this.#expireIfLate(entry)
    this.#deadlines.look(this.#entries.values())
    this.#pump()
  }

  /** How a plan's run is at this moment. */
  report(name: string): RunReport | undefined {
    return this.#entries.get(name)?.report
  }

  /** How a plan stands in the line. */
  standing(name: string): Standing | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined) return undefined
    const at = this.#waiting().sort(compareTurns).indexOf(entry)
    const { nextTryAt, failures, lastError } = entry
    return { running: this.#running.has(name), position: at < 0 ? undefined : at + 1, nextTryAt, failures, lastError }
  }

  #waiting(): Entry[] {
    return [...this.#entries.values()].filter(
      entry => entry.parked === undefined && !this.#running.has(entry.plan.name),
    )
  }

  #join(row: StatusRow): void {
    const plan = this.#options.intake.planOf(row.name, row.scope)
    if (plan !== undefined) this.#entries.set(row.name, createEntry(plan, row, this.#options.progress))
  }

  #leave(name: string, entry: Entry): void {
    entry.parked?.()
    this.#entries.delete(name)
    this.#running.get(name)?.controller.abort()
  }

  /** Looks at the line soon: several changes at once are one look, and whoever made them has returned by then. */
  #pump(): void {
    if (!this.#open) return
    this.#pumping ??= setImmediate(() => {
      this.#pumping = undefined
      try {
        this.#advance()
      } catch (error) {
        // The disk under the state may be full. The line is looked at again with the next change or sweep
        this.#options.logger.error({ err: error }, 'plans could not be started')
      }
    })
  }

  #advance(): void {
    const line = this.#waiting().sort(compareTurns)
    let stopping = [...this.#running.values()].filter(running => running.controller.signal.aborted).length
    const left: Entry[] = []
    for (const entry of line) {
      if (this.#expireIfLate(entry)) continue
      if (this.#running.size < this.#options.maxRuns) this.#begin(entry)
      else if (stopping > 0)
        stopping -= 1 // its place is free in a moment
      else if (!this.#preemptFor(entry) && !entry.told) left.push(entry)
    }
    if (left.length > 0) this.#tellQueued(left)
  }

  /** Stops the last of the running plans that come after this one; it goes back into the line with all that it has fetched. */
  #preemptFor(entry: Entry): boolean {
    const [least] = [...this.#running.values()]
      .filter(({ controller }) => !controller.signal.aborted)
      .sort((a, b) => compareTurns(b.entry, a.entry))
    if (least === undefined || !precedes(entry, least.entry)) return false
    this.#options.logger.info(
      { plan: least.entry.plan.name, for: entry.plan.name },
      'plan makes room for one that goes first',
    )
    least.entry.told = false
    least.controller.abort()
    return true
  }

  /** In one transaction: after a restart, the line may be long. */
  #tellQueued(entries: readonly Entry[]): void {
    const why: Why = { reason: 'Queue', message: `${this.#options.maxRuns} other plans are running` }
    this.#options.book.write(() => {
      for (const entry of entries) this.#record(entry, 'Waiting', why)
    })
    for (const entry of entries) entry.told = true
  }

  #expireIfLate(entry: Entry): boolean {
    const { notAfter } = entry.plan
    if (entry.started || notAfter === undefined || notAfter >= this.#options.now()) return false
    this.#record(entry, 'Expired', { message: `not started before ${formatTime(notAfter)}` })
    this.#leave(entry.plan.name, entry)
    return true
  }

  #begin(entry: Entry): void {
    const { name } = entry.plan
    const controller = new AbortController()
    // In a later turn, so that the run is known as running before it tells anything
    const ended = Promise.resolve()
      .then(() => this.#pass(entry, controller.signal))
      .catch(error => {
        this.#options.logger.error({ plan: name, err: error }, 'the result of a run could not be written down')
        this.#backOff(entry, { reason: 'Retry', retryAfterMs: 0 })
      })
      .finally(() => {
        this.#running.delete(name)
        this.#pump()
      })
    this.#running.set(name, { entry, controller, ended })
  }

  async #pass(entry: Entry, signal: AbortSignal): Promise<void> {
    entry.meter.start()
    try {
      const outcome = await runPass(this.#context(entry), signal)
      if (this.#entries.get(entry.plan.name) === entry) this.#conclude(entry, outcome)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      entry.meter.stop()
    }
  }

  #conclude(entry: Entry, outcome: Outcome): void {
    if (entry.report.gained) entry.woken = false
    if (outcome.kind === 'wait') {
      this.#waitForRetry(entry, outcome)
      return
    }
    if (outcome.kind === 'closed') {
      this.#waitForLink(entry, outcome)
      return
    }
    if (outcome.kind === 'failed') this.#record(entry, 'Failed', outcome.why)
    if (outcome.kind === 'ready') {
      const notes = [...entry.plan.notes, ...outcome.notes]
      this.#record(entry, 'Ready', notes.length > 0 ? { message: joinTexts(notes) } : {})
    }
    this.#leave(entry.plan.name, entry)
  }

  #waitForRetry(entry: Entry, outcome: Extract<Outcome, { kind: 'wait' }>): void {
    this.#backOff(entry, outcome)
    entry.setback = outcome
    this.#tellRetry(entry)
  }

  #tellRetry(entry: Entry): void {
    const { setback, nextTryAt } = entry
    if (setback === undefined || nextTryAt === undefined) return
    const { reason, message, hint } = setback
    this.#record(entry, 'Waiting', { reason, message: `${message}; next try at ${formatTime(nextTryAt)}`, hint })
  }

  /** Takes the entry out of the line until its next try. */
  #backOff(entry: Entry, setback: Setback): void {
    if (this.#entries.get(entry.plan.name) !== entry) return
    entry.failures = entry.report.gained ? 1 : entry.failures + 1
    const delay = waitAfter(setback, entry, this.#options.retry)
    entry.justWoken = false
    this.#waitUntil(entry, this.#options.now() + delay)
  }

  #waitUntil(entry: Entry, at: number): void {
    entry.nextTryAt = at
    this.#park(entry, () => {
      const timer = setTimeout(() => this.#endWait(entry), at - this.#options.now())
      return () => clearTimeout(timer)
    })
  }

  #waitForLink(entry: Entry, { obstacle, blocked }: Extract<Outcome, { kind: 'closed' }>): void {
    const { engine } = this.#options
    const { reason, message } = obstacle
    entry.failures = 0
    entry.justWoken = false
    this.#record(entry, 'Waiting', { reason, message, hint: new LinkClosed(obstacle).hint })
    const check = () => soonest(blocked.map(request => engine.obstacle(request, entry.plan)))
    this.#park(entry, () => engine.link.whenClear(check, () => this.#endWait(entry)))
  }

  /** Takes the entry out of the line. `begin` begins its wait and gives what calls that off. */
  #park(entry: Entry, begin: () => () => void): void {
    entry.parked?.()
    entry.parked = begin()
  }

  #endWait(entry: Entry): void {
    entry.told = false
    entry.parked?.()
    entry.parked = undefined
    entry.nextTryAt = undefined
    this.#pump()
  }

  #context(entry: Entry): RunContext {
    return contextOf(entry, {
      ...this.#options,
      record: (phase, change) => this.#record(entry, phase, {}, change),
      judge: needs => this.#deadlines.judge(entry, this.#entries.values(), needs),
    })
  }

  #record(entry: Entry, phase: Phase, why: Why, change?: StatusChange): void {
    entry.last = { phase, why }
    this.#options.book.record(entry.report.draft(phase, why), entry.run, change)
  }
}
