/**
 * How long to wait before the next try: exponential, with full jitter, so that the sites that lost a broker together
 * don't come back to it together. Wider jitter than oci/backoff.ts has: there many requests of one site wait, here many sites.
 */

export interface BackoffOptions {
  /** Milliseconds: the upper end of the first delay, doubled with every try. */
  readonly minMs: number
  /** Milliseconds: the upper end of every later delay. */
  readonly maxMs: number
  /** 0 to 1, for tests. */
  readonly random?: () => number
}

export class Backoff {
  readonly #minMs: number
  readonly #maxMs: number
  readonly #random: () => number
  #tries = 0

  constructor(options: BackoffOptions) {
    this.#minMs = options.minMs
    this.#maxMs = options.maxMs
    this.#random = options.random ?? Math.random
  }

  /** Milliseconds to wait now. `slow`: another try soon is pointless, so anything in the upper half of the longest delay. */
  next({ slow = false } = {}): number {
    const ceiling = Math.min(this.#maxMs, this.#minMs * 2 ** this.#tries)
    this.#tries = Math.min(this.#tries + 1, 30)
    return slow ? this.#maxMs * (0.5 + this.#random() / 2) : ceiling * this.#random()
  }

  /** The thing worked. */
  reset(): void {
    this.#tries = 0
  }
}
