/**
 * A log for what may go wrong for days: said at once, then at most every ten minutes with the number of repeats.
 */
import type { Logger } from 'pino'

export class RepeatLog {
  readonly #logger: Logger
  readonly #now: () => number
  readonly #everyMs: number
  readonly #last = new Map<string, { at: number; repeats: number }>()

  constructor(logger: Logger, now: () => number, everyMs = 600_000) {
    this.#logger = logger
    this.#now = now
    this.#everyMs = everyMs
  }

  /**
   * Warns, unless it is too early to repeat this, and tells whether it did. `key` says what counts as the same thing; keys must
   * come from a closed list, as they are remembered.
   */
  warn(key: string, fields: object, message: string): boolean {
    const last = this.#last.get(key)
    if (last && this.#now() - last.at < this.#everyMs) {
      last.repeats += 1
      return false
    }
    this.#logger.warn(last?.repeats ? { ...fields, repeats: last.repeats } : fields, message)
    this.#last.set(key, { at: this.#now(), repeats: 0 })
    return true
  }

  /** The next of these is news again. */
  forget(key: string): void {
    this.#last.delete(key)
  }
}
