/**
 * Progress goes out: the newest of each plan, at most one a second, and only where it is in nobody's way. QoS 0: nobody misses one.
 * specs: plan contract, "Topics".
 */
import { isTerminal, type PlanProgress, type PlanStatus } from '../plans/status.ts'
import type { BrokerConnection } from './connection.ts'

export interface ProgressPublisherOptions {
  readonly connection: BrokerConnection
  readonly topicOf: (suffix: string) => string
  /** Whether statuses, which matter more, wait for the link. */
  readonly statusesWait: () => boolean
  /** Milliseconds between two of the same plan. */
  readonly intervalMs: number
}

export class ProgressPublisher {
  readonly #options: ProgressPublisherOptions
  readonly #newest = new Map<string, PlanProgress>()
  #timer: NodeJS.Timeout | undefined
  #last = Number.NEGATIVE_INFINITY
  #running = false

  constructor(options: ProgressPublisherOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = true
  }

  stop(): void {
    this.#running = false
    clearTimeout(this.#timer)
    this.#newest.clear()
  }

  /** Replaces what was not sent yet of the same plan. */
  readonly offer = (progress: PlanProgress): void => {
    if (!this.#running) return
    this.#newest.set(progress.plan, progress)
    this.#timer ??= setTimeout(this.#flush, Math.max(0, this.#last + this.#options.intervalMs - performance.now()))
  }

  /** A status says more than the progress that waits beside it; after the plan's last one, progress would be untrue. */
  readonly heed = (status: PlanStatus): void => {
    if (isTerminal(status.phase)) this.#newest.delete(status.plan)
  }

  readonly #flush = (): void => {
    const { connection, topicOf, statusesWait, intervalMs } = this.#options
    this.#timer = undefined
    this.#last = performance.now()
    if (connection.congested || statusesWait()) {
      this.#timer = setTimeout(this.#flush, intervalMs)
      return
    }
    for (const [plan, progress] of this.#newest) {
      connection.offer(topicOf(`plans/${plan}/progress`), JSON.stringify(progress))
    }
    this.#newest.clear()
  }
}
