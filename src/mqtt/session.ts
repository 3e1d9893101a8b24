/**
 * What happens on a connection while it lasts: subscriptions are made, statuses, progress and the edge's state go out.
 * Made anew by link.ts for every connection.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Outbox } from '../plans/outbox.ts'
import type { Plans } from '../plans/plans.ts'
import { Backoff } from './backoff.ts'
import type { BrokerConnection } from './connection.ts'
import { EdgeState } from './edge-state.ts'
import type { LinkError } from './link-error.ts'
import { ProgressPublisher } from './progress-publisher.ts'
import { StatusPublisher } from './status-publisher.ts'
import type { Subscriptions } from './subscriptions.ts'
import type { Topics } from './topics.ts'
import { within } from './within.ts'

/** What the broker may refuse while the connection stands. */
export type ProblemSource = 'subscription' | 'status' | 'state'

export interface SessionOptions {
  readonly connection: BrokerConnection
  readonly version: 4 | 5
  readonly topics: Topics
  readonly subscriptions: Subscriptions
  readonly edge: string
  readonly plans: Pick<Plans, 'events'>
  readonly outbox: Pick<Outbox, 'next' | 'acknowledged'>
  readonly progressAllowance?: () => number | undefined
  readonly stateDocument: () => object
  readonly timing: {
    readonly retryMinMs: number
    readonly retryMaxMs: number
    readonly stateIntervalMs: number
    readonly progressIntervalMs: number
  }
  readonly now: () => number
  readonly onProblem: (source: ProblemSource, problem: LinkError | undefined) => void
}

/** Statuses that may wait for the broker's acknowledgement at once. */
const statusWindow = 16

export class Session {
  readonly #options: SessionOptions
  readonly #state: EdgeState
  readonly #statuses: StatusPublisher
  readonly #progress: ProgressPublisher
  readonly #stopping = new AbortController()

  constructor(options: SessionOptions) {
    const { connection, topics, edge, outbox, stateDocument, timing, now, onProblem } = options
    const topicOf = (suffix: string) => topics.below(suffix)
    this.#options = options
    this.#state = new EdgeState({
      connection,
      topic: topics.state,
      edge,
      document: stateDocument,
      intervalMs: timing.stateIntervalMs,
      now,
      onProblem: problem => onProblem('state', problem),
    })
    this.#statuses = new StatusPublisher({
      connection,
      outbox,
      topicOf,
      window: statusWindow,
      retry: { minMs: timing.retryMinMs, maxMs: timing.retryMaxMs },
      onProblem: problem => onProblem('status', problem),
    })
    this.#progress = new ProgressPublisher({
      connection,
      topicOf,
      statusesWait: () => this.#statuses.busy,
      intervalMs: timing.progressIntervalMs,
      allowance: options.progressAllowance ?? (() => undefined),
    })
  }

  start(): void {
    const { events } = this.#options.plans
    void this.#subscribe(this.#stopping.signal)
    this.#state.start()
    this.#statuses.start()
    this.#progress.start()
    events.on('outbox', this.#statuses.wake)
    events.on('progress', this.#progress.offer)
    events.on('status', this.#progress.heed)
  }

  /** Sends what waits and says goodbye, within `timeoutMs`. */
  async farewell(timeoutMs: number): Promise<void> {
    this.#progress.stop()
    await within(this.#statuses.flush(), timeoutMs / 2)
    this.#statuses.stop()
    await within(this.#state.sayOffline(), timeoutMs / 2)
  }

  /** Nothing more is sent. */
  stop(): void {
    const { events } = this.#options.plans
    events.off('outbox', this.#statuses.wake)
    events.off('progress', this.#progress.offer)
    events.off('status', this.#progress.heed)
    this.#stopping.abort()
    this.#state.stop()
    this.#statuses.stop()
    this.#progress.stop()
  }

  /** What the broker refuses is asked for again, slowly: access rules change without our hearing of it. */
  async #subscribe(signal: AbortSignal): Promise<void> {
    const { connection, version, topics, subscriptions, timing, onProblem } = this.#options
    const backoff = new Backoff({ minMs: timing.retryMinMs, maxMs: timing.retryMaxMs })
    let filters = topics.filters
    try {
      while (filters.length > 0) {
        const refusals = await subscriptions.subscribe(connection, version, filters)
        onProblem('subscription', refusals[0]?.error)
        filters = refusals.map(refusal => refusal.filter)
        if (filters.length > 0) await delay(backoff.next({ slow: true }), undefined, { signal })
      }
    } catch {
      // The connection is over, or this session is: link.ts knows why.
    }
  }
}
