/**
 * One answer's body on its way over the link: counted as it is read, and read no faster than the rate allows. What waits in the buffers
 * of a body that is left (a suspended transfer: some 100 KiB) crossed the wire uncounted. Made by link.ts for registry/.
 */
import type { Passage } from '../../registry/line.ts'
import type { Flow } from './limiter.ts'

/**
 * What fills the buffers between the wire and the reader when a body begins is paid for before its first bytes, so that many short
 * bodies one after the other cross the wire no faster than a long one. It takes what an idle limiter has saved up, too: a body that
 * begins with a rush gets larger buffers. How much they take, only the kernel knows. Bytes; and milliseconds at the rate, between these.
 */
const leastAhead = 64 * 1024
const mostAhead = 1024 * 1024
const aheadMs = 50

/**
 * A read takes what comes in so many milliseconds at the rate, and at least so many bytes. By the size of reads, a kernel judges how
 * much its reader can take: after reads of 128 KiB at 20 Mbit/s, each connection had 2.4 MiB of buffers and filled them in lumps.
 * It goes by the site's rate, and so does what is paid ahead: a connection serves one plan after the other, and a plan's rate holds for
 * what is read, while up to some 600 KiB of each body wait before the reader.
 */
const atOnceMs = 10
const leastAtOnce = 16 * 1024

/** Bytes that one read may take at a rate of so many bytes a second; any number without. */
export function mostAtOnceOf(rate: number | undefined): number {
  return rate === undefined ? Number.POSITIVE_INFINITY : Math.max(leastAtOnce, Math.round((rate * atOnceMs) / 1000))
}

/** What a body pays ahead at a rate of so many bytes a second. */
export function aheadOf(rate: number): number {
  return Math.min(mostAhead, Math.max(leastAhead, Math.round((rate * aheadMs) / 1000)))
}

export interface LinkPassageOptions {
  readonly flow: Flow
  /** Bytes, where it is announced. */
  readonly length: number | undefined
  /** Bytes that are paid for before they are read. */
  readonly ahead: number
  readonly counted: (bytes: number) => void
}

export class LinkPassage implements Passage {
  readonly #flow: Flow
  readonly #counted: (bytes: number) => void
  readonly #length: number
  readonly #ahead: number
  #came = 0
  #paid = 0

  constructor(options: LinkPassageOptions) {
    this.#flow = options.flow
    this.#counted = options.counted
    this.#length = options.length ?? 0
    this.#ahead = options.ahead
  }

  came(bytes: number): void {
    this.#came += bytes
    this.#counted(bytes)
  }

  async more(signal: AbortSignal): Promise<void> {
    const due = Math.max(this.#came, Math.min(this.#length, this.#came + this.#ahead)) - this.#paid
    this.#paid += due
    if (due > 0) await this.#flow.take(due, signal)
  }
}
