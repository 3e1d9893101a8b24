/** How fast bytes cross the link: now, and usually. Used by link.ts. */
import type { Clock } from './clock.ts'

const slotMs = 1000
/** The rate of now is that of so many seconds. */
const recentSlots = 10
/** Seconds in which bytes came count in the usual rate by this weight: about a minute of them decides. */
const weight = 1 / 60

export class RateMeter {
  readonly #clock: Clock
  /** Whole seconds and their bytes, the oldest first; the last one is not over yet. */
  #slots: { readonly at: number; bytes: number }[] = []
  #usual: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(bytes: number): void {
    const at = this.#second()
    const last = this.#slots.at(-1)
    if (last?.at === at) {
      last.bytes += bytes
      return
    }
    // The first second of a burst is seldom a whole one, so it counts only where nothing else is known.
    if (last && (this.#slots.length > 1 || this.#usual === undefined)) {
      this.#usual = this.#usual === undefined ? last.bytes : this.#usual + weight * (last.bytes - this.#usual)
    }
    this.#slots = [...this.#slots.filter(slot => slot.at > at - recentSlots), { at, bytes }]
  }

  /** Bytes a second over the last seconds. */
  get recent(): number {
    const from = this.#second() - recentSlots
    const bytes = this.#slots.reduce((sum, slot) => (slot.at > from ? sum + slot.bytes : sum), 0)
    return Math.round(bytes / recentSlots)
  }

  /** Bytes a second in the seconds in which bytes came; undefined before that can be said. */
  get usual(): number | undefined {
    return this.#usual === undefined ? undefined : Math.round(this.#usual)
  }

  #second(): number {
    return Math.floor(this.#clock.monotonic() / slotMs)
  }
}
