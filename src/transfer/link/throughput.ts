/**
 * Whether the transfers under way bring so much that one more would only take from them. Used by slots.ts where what arrives is sent on
 * to another registry: that is work on the same processors, and a GiB takes a seventh longer with four blobs at once than with two.
 */
import type { Clock } from './clock.ts'

/** Bytes a second that are ample. No link that four blobs would fill better brings them: what is received so fast is bounded by the machine. */
const ampleRate = 64 * 1024 * 1024
/** Milliseconds after which what has come is looked at. */
const lookAfterMs = 250

export class Throughput {
  readonly #clock: Clock
  readonly #received: () => number
  #last = { at: 0, bytes: 0 }
  #isAmple = true
  #callOff: (() => void) | undefined

  /** @param received bytes that have come so far, over all transfers. */
  constructor(clock: Clock, received: () => number) {
    this.#clock = clock
    this.#received = received
  }

  /** Whether it was ample when last looked at; before the first look after {@link begin}, that is to be seen. */
  get isAmple(): boolean {
    return this.#isAmple
  }

  /** Transfers begin where there were none. */
  begin(): void {
    this.rest() // a look that was asked for before would see too little
    this.#isAmple = true
    this.#last = { at: this.#clock.monotonic(), bytes: this.#received() }
  }

  /** Looks soon and then calls back, once for all who ask meanwhile. */
  look(seen: () => void): void {
    this.#callOff ??= this.#clock.after(lookAfterMs, () => {
      this.#callOff = undefined
      const now = { at: this.#clock.monotonic(), bytes: this.#received() }
      const perSecond = ((now.bytes - this.#last.bytes) * 1000) / Math.max(1, now.at - this.#last.at)
      this.#isAmple = perSecond >= ampleRate
      this.#last = now
      seen()
    })
  }

  /** Nobody waits any more. */
  rest(): void {
    this.#callOff?.()
    this.#callOff = undefined
  }
}
