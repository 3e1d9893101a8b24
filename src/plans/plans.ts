/** The plans of this edge: the room's face for MQTT, HTTP and the composition root. */
import { EventEmitter } from 'node:events'
import type { Logger } from 'pino'
import type { BackoffOptions } from '../oci/backoff.ts'
import type { TrustedKey } from '../oci/jws.ts'
import type { Platform } from '../oci/platform.ts'
import type { State } from '../state/database.ts'
import { type Hold, PlanRows } from '../state/plans.ts'
import type { ImageRequest, TransferEngine } from '../transfer/engine.ts'
import { type Arrival, Intake, type Receipt } from './intake.ts'
import { Outbox } from './outbox.ts'
import { readPlan } from './plan.ts'
import { PlanQueue } from './queue.ts'
import { type PlanQuote, quotePlan } from './quote.ts'
import type { PlanDocument } from './schema.ts'
import { isTerminal, type PlanProgress, type PlanStatus } from './status.ts'
import { readStatus, StatusBook } from './status-book.ts'
import { explainPlan, namedBy, type PlanWhy } from './why.ts'

export type { Arrival, Receipt } from './intake.ts'

export interface PlansOptions {
  readonly state: Pick<State, 'db'>
  readonly engine: TransferEngine
  readonly edge: {
    readonly id: string
    readonly groups: readonly string[]
    /** What images without `platforms` are wanted for. */
    readonly platforms: readonly Platform[]
  }
  /** Whether a broker is configured: without one, nothing is put into the outbox. Default true. */
  readonly report?: boolean
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now?: () => number
  /** Waits between passes that failed for the moment. Default 5 s, doubling to 10 min. */
  readonly retry?: BackoffOptions
  /** Bytes a second that sources have given before, the best of them first; undefined where nothing is known. */
  readonly rate?: (hosts: readonly string[]) => number | undefined
  /** Whose signatures on plans are trusted. With any, nothing else is taken. */
  readonly keys?: readonly TrustedKey[]
  /** Plans that run at once. Default 4. */
  readonly maxRuns?: number
  /** Between two tellings of progress. Default 1 s. */
  readonly progressIntervalMs?: number
}

/** What a plan would take, or everything that is wrong with it. */
export type QuoteAnswer =
  | { readonly kind: 'quote'; readonly quote: PlanQuote }
  | { readonly kind: 'refused'; readonly problems: readonly string[] }

export interface PlanEvents {
  status: [PlanStatus]
  progress: [PlanProgress]
  /** The outbox holds something new. */
  outbox: []
}

/** How often plans that wait too long and statuses that are due to be cleared are looked for, in milliseconds. */
const sweepEveryMs = 30_000
/** Withdrawn plans that are remembered, so that an old copy of one is known for what it is. */
const maxWithdrawn = 10_000
/** Refused plans whose status is kept. */
const maxRefused = 1_000
/** Statuses that one sweep clears. */
const clearsAtOnce = 1_000

export class Plans {
  readonly events = new EventEmitter<PlanEvents>()
  readonly #options: PlansOptions
  readonly #rows: PlanRows
  readonly #book: StatusBook
  readonly #intake: Intake
  readonly #queue: PlanQueue
  readonly #now: () => number
  readonly #rate: (hosts: readonly string[]) => number | undefined
  #sweeper: NodeJS.Timeout | undefined

  constructor(options: PlansOptions) {
    const { state, engine, edge, logger, now = Date.now } = options
    this.#options = options
    this.#now = now
    this.#rate = options.rate ?? (() => undefined)
    this.#rows = new PlanRows(state.db)
    const outbox = new Outbox({ state, now })
    const rows = this.#rows
    this.#book = new StatusBook({
      rows,
      outbox,
      edge: edge.id,
      report: options.report ?? true,
      now,
      written: status => this.#tell(status),
    })
    this.#intake = new Intake({
      rows,
      book: this.#book,
      platforms: edge.platforms,
      keys: options.keys ?? [],
      logger,
      now,
      changed: name => this.#queue.changed(name),
    })
    this.#queue = new PlanQueue({
      state,
      rows,
      book: this.#book,
      intake: this.#intake,
      engine,
      retry: options.retry ?? { firstMs: 5_000, maxMs: 600_000 },
      maxRuns: options.maxRuns ?? 4,
      progress: {
        edge: edge.id,
        intervalMs: options.progressIntervalMs ?? 1_000,
        now,
        tell: progress => this.events.emit('progress', progress),
      },
      rate: this.#rate,
      logger,
      now,
    })
  }

  /** Takes up what an earlier process left: every plan that has not ended runs again, what is Ready stays so. */
  start(): void {
    this.#book.reportUntold()
    this.#intake.leaveGroups(this.#options.edge.groups)
    this.#queue.start()
    this.sweep()
    this.#sweeper = setInterval(() => {
      try {
        this.sweep()
      } catch (error) {
        // The disk under the state may be full; the next sweep tries again
        this.#options.logger.error({ err: error }, 'old plans could not be tidied up')
      }
    }, sweepEveryMs)
  }

  /** Stops every run, and resolves when they have ended. What has arrived stays, and plans go on with the next start. */
  async stop(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#queue.stop()
  }

  /** Checks, stores durably, then returns: the message may be acknowledged. */
  receive(arrival: Arrival): Receipt {
    return this.#intake.receive(arrival)
  }

  /**
   * What a plan would take: nothing of it is stored or begun.
   * @throws the signal's reason when it is aborted.
   */
  async quote(payload: Uint8Array, signal: AbortSignal): Promise<QuoteAnswer> {
    const { engine, edge, logger } = this.#options
    const reading = readPlan(payload, { platforms: edge.platforms, keys: this.#options.keys ?? [] })
    if (reading.kind === 'refused') return { kind: 'refused', problems: reading.problems }
    const options = { engine, edge: edge.id, logger, now: this.#now, rate: this.#rate }
    return { kind: 'quote', quote: await quotePlan(reading.plan, options, signal) }
  }

  /** Withdraws a plan by HTTP or the command line, whoever sent it. Its images stay until cleanup takes them. */
  withdraw(name: string): Receipt {
    return this.#intake.withdraw(name)
  }

  /** Runs a plan once more that has failed, or lost its target; one that waits for its next try is tried now. */
  retry(name: string): Receipt {
    const receipt = this.#intake.retry(name)
    return receipt.outcome === 'unchanged' && this.#queue.wake(name) ? { ...receipt, outcome: 'accepted' } : receipt
  }

  /** Tells that something comes over the link again: plans that wait for that are tried at once. */
  linkIsBack(): void {
    this.#queue.linkIsBack()
  }

  /** The status of every plan, by name, as it is at this moment. */
  list(): PlanStatus[] {
    return this.#rows
      .statuses()
      .map(row => this.#live(readStatus(row)))
      .sort((a, b) => (a.plan < b.plan ? -1 : 1))
  }

  /** A plan's status as it is at this moment: its last one, with the bytes that have arrived since. */
  find(name: string): PlanStatus | undefined {
    const row = this.#rows.status(name)
    return row && this.#live(readStatus(row))
  }

  /** How every plan stands that has this name, or wants an image of this name; those that have ended well last. */
  async why(name: string): Promise<PlanWhy[]> {
    const isNamed = namedBy(name)
    const found: Promise<PlanWhy>[] = []
    for (const row of this.#rows.statuses()) {
      const status = this.#live(readStatus(row))
      const plan = this.#intake.planOf(row.name, row.scope)
      const wants = (at: number): boolean => {
        const request = plan?.images[at]
        return row.name === name || (request !== undefined && isNamed(request, status.images[at]?.digest ?? null))
      }
      if (row.name !== name && !plan?.images.some((_, at) => wants(at))) continue
      const standing = this.#queue.standing(row.name)
      found.push(explainPlan({ status, plan, standing, engine: this.#options.engine }, wants))
    }
    const rank = (why: PlanWhy) => (why.phase === 'Ready' ? 1 : 0)
    return (await Promise.all(found)).sort((a, b) => rank(a) - rank(b))
  }

  /** The plan as it was sent; of several with one name, the one that counts. Nothing once it is withdrawn. */
  document(name: string): PlanDocument | undefined {
    const row = this.#rows.status(name)
    return row && this.#intake.documentOf(name, row.scope)
  }

  /** How the images that plans want in a repository of the local registry can be had. */
  requestsFor(repository: string): ImageRequest[] {
    return this.#rows
      .statuses()
      .flatMap(({ name, scope }) => this.#intake.planOf(name, scope)?.images ?? [])
      .filter(image => image.target.repository === repository)
  }

  /** Content that cleanup must leave alone, and for whom. */
  holds(): Hold[] {
    return this.#rows.holds()
  }

  /** Those of them in one repository of the local registry. */
  holdsIn(repository: string): Hold[] {
    return this.#rows.holdsIn(repository)
  }

  /** Expires plans, judges deadlines anew, clears old statuses, forgets old withdrawals. Done every 30 s by itself. */
  sweep(): void {
    this.#queue.review()
    const surplus = [...this.#rows.dueToClear(this.#now(), clearsAtOnce), ...this.#rows.surplusRefused(maxRefused)]
    for (const { name } of surplus) this.#book.clear(name)
    if (surplus.length > 0) this.events.emit('outbox')
    this.#rows.pruneWithdrawn(maxWithdrawn)
  }

  #live(status: PlanStatus): PlanStatus {
    const report = isTerminal(status.phase) ? undefined : this.#queue.report(status.plan)
    if (report === undefined) return status
    const { quote, bytes, images } = report.draft(status.phase)
    return { ...status, quote, bytes, images }
  }

  #tell(status: PlanStatus): void {
    const { plan, revision, phase, reason, message } = status
    this.#options.logger.info({ plan, revision, phase, reason, message }, 'plan status')
    this.events.emit('status', status)
    this.events.emit('outbox')
  }
}
