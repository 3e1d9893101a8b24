/**
 * Calls of the system that the kernel's memory answers are made at once, without a turn of the thread pool, which costs several times as
 * much. When the disk can't keep up, the kernel holds whoever writes, and with such a call the whole process: then the pool has them for a
 * while. One for all the files of a store. Used by ingest-file.ts.
 */
import { performance } from 'node:perf_hooks'

/** A call that took so long was held. Milliseconds; to be put off by another process takes less. */
const heldMs = 20
const firstRestMs = 10_000
const longestRestMs = 10 * 60_000

export class DirectCalls {
  readonly #now: () => number
  #restsUntil = Number.NEGATIVE_INFINITY
  #restMs = firstRestMs

  /** `now` is monotonic, in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Whether a call may be made at once. */
  get areFast(): boolean {
    return this.#now() >= this.#restsUntil
  }

  /** Makes the call. One that is held is the last for ten seconds; from time to time again, for longer. */
  make<T>(call: () => T): T {
    const begun = this.#now()
    try {
      return call()
    } finally {
      const now = this.#now()
      if (now - begun >= heldMs) this.#rest(now)
    }
  }

  #rest(now: number): void {
    const isNew = now - this.#restsUntil > longestRestMs
    this.#restMs = isNew ? firstRestMs : Math.min(2 * this.#restMs, longestRestMs)
    this.#restsUntil = now + this.#restMs
  }
}
