/**
 * One answer's body on its way over the link: counted as it is read, and read no faster than the rate allows. What waits in the buffers
 * of a body that is left (a suspended transfer: some 100 KiB) crossed the wire uncounted. Made by link.ts for registry/.
 */
import type { Passage } from '../../registry/line.ts'
import type { Flow } from './limiter.ts'

/**
 * What fills the buffers between the wire and the reader when a body begins is paid for with its first bytes, so that many short
 * bodies one after the other cross the wire no faster than a long one. Bytes.
 */
const aheadBytes = 128 * 1024

export class LinkPassage implements Passage {
  readonly #flow: Flow
  readonly #counted: (bytes: number) => void
  readonly #length: number
  #came = 0
  #paid = 0

  constructor(options: { flow: Flow; length: number | undefined; counted: (bytes: number) => void }) {
    this.#flow = options.flow
    this.#counted = options.counted
    this.#length = options.length ?? 0
  }

  came(bytes: number): void {
    this.#came += bytes
    this.#counted(bytes)
  }

  async more(signal: AbortSignal): Promise<void> {
    const due = Math.max(this.#came, Math.min(this.#length, this.#came + aheadBytes)) - this.#paid
    this.#paid += due
    if (due > 0) await this.#flow.take(due, signal)
  }
}
