/**
 * Progress goes out: the newest of each plan, at most one a second and within a share of the link, and only where it is in nobody's way. QoS 0: nobody misses one.
 * specs: plan contract, "Topics".
 */
import { isTerminal, type PlanProgress, type PlanStatus } from '../plans/status.ts'
import { type Clock, systemClock } from '../transfer/link/clock.ts'
import type { BrokerConnection } from './connection.ts'

export interface ProgressPublisherOptions {
  readonly connection: Pick<BrokerConnection, 'congested' | 'offer'>
  readonly topicOf: (suffix: string) => string
  /** Whether statuses, which matter more, wait for the link. */
  readonly statusesWait: () => boolean
  /** Milliseconds between two of the same plan. */
  readonly intervalMs: number
  /** Bytes a second that progress may take now; no limit while undefined. */
  readonly allowance: () => number | undefined
  readonly clock?: Clock
}

/** What MQTT adds to a message: its fixed header and the topic's length. Bytes. */
const headerBytes = 7
/** However slow the link, progress is told so often: an operator wonders otherwise. */
const longestPauseMs = 10 * 60_000

export class ProgressPublisher {
  readonly #options: ProgressPublisherOptions
  readonly #newest = new Map<string, PlanProgress>()
  readonly #clock: Clock
  #callOff: (() => void) | undefined
  /** When the next may go. */
  #next = Number.NEGATIVE_INFINITY
  #running = false

  constructor(options: ProgressPublisherOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  start(): void {
    this.#running = true
  }

  stop(): void {
    this.#running = false
    this.#callOff?.()
    this.#callOff = undefined
    this.#newest.clear()
  }

  /** Replaces what was not sent yet of the same plan. */
  readonly offer = (progress: PlanProgress): void => {
    if (!this.#running) return
    this.#newest.set(progress.plan, progress)
    this.#callOff ??= this.#clock.after(Math.max(0, this.#next - this.#clock.monotonic()), this.#flush)
  }

  /** A status says more than the progress that waits beside it; after the plan's last one, progress would be untrue. */
  readonly heed = (status: PlanStatus): void => {
    if (isTerminal(status.phase)) this.#newest.delete(status.plan)
  }

  /** So long that what was sent is within the allowance. */
  #pauseAfter(bytes: number): number {
    const { allowance, intervalMs } = this.#options
    const allowed = allowance()
    return allowed === undefined ? intervalMs : Math.max(intervalMs, Math.min(longestPauseMs, (bytes * 1000) / allowed))
  }

  readonly #flush = (): void => {
    const { connection, topicOf, statusesWait, intervalMs } = this.#options
    this.#callOff = undefined
    if (connection.congested || statusesWait()) {
      this.#callOff = this.#clock.after(intervalMs, this.#flush)
      return
    }
    let bytes = 0
    for (const [plan, progress] of this.#newest) {
      const [topic, payload] = [topicOf(`plans/${plan}/progress`), JSON.stringify(progress)]
      connection.offer(topic, payload)
      bytes += Buffer.byteLength(topic) + Buffer.byteLength(payload) + headerBytes
    }
    this.#newest.clear()
    this.#next = this.#clock.monotonic() + this.#pauseAfter(bytes)
  }
}
