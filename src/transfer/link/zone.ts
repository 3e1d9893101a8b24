/**
 * The clock on the wall of a time zone: what it shows at a moment, and at which moments it shows a time. In spring an hour never
 * shows, in autumn one shows twice. Used by windows.ts and period.ts.
 */

/** What the clock and the calendar show. */
export interface LocalTime {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number
  /** Since midnight, of the clock. */
  readonly minutes: number
  /** 0 is Monday. */
  readonly weekday: number
}

/** A day of the calendar; a day beyond the month's end is in the next one. */
export type LocalDay = Pick<LocalTime, 'year' | 'month' | 'day'>

const dayMs = 86_400_000

export class Zone {
  readonly #format: Intl.DateTimeFormat

  /** @param name of IANA. @throws RangeError for one that this machine doesn't know. */
  constructor(name: string) {
    const numeric = 'numeric' as const
    const parts = { year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric }
    this.#format = new Intl.DateTimeFormat('en-US', { timeZone: name, calendar: 'gregory', hourCycle: 'h23', ...parts })
  }

  /** What the clock shows at a moment (epoch milliseconds). */
  at(moment: number): LocalTime {
    const shown = new Date(moment + this.#offset(moment))
    return {
      year: shown.getUTCFullYear(),
      month: shown.getUTCMonth() + 1,
      day: shown.getUTCDate(),
      minutes: shown.getUTCHours() * 60 + shown.getUTCMinutes(),
      weekday: (shown.getUTCDay() + 6) % 7,
    }
  }

  /** The moments at which the clock shows so many minutes after a day's midnight: one, none in a gap, two in a double hour. */
  moments({ year, month, day }: LocalDay, minutes: number): number[] {
    const shown = Date.UTC(year, month - 1, day, 0, minutes)
    const offsets = new Set([this.#offset(shown - dayMs), this.#offset(shown + dayMs)])
    return [...offsets]
      .map(offset => ({ moment: shown - offset, offset }))
      .filter(({ moment, offset }) => this.#offset(moment) === offset)
      .map(({ moment }) => moment)
      .sort((a, b) => a - b)
  }

  /** The first moment of a day; where the clock jumps over midnight, the jump. */
  startOf(day: LocalDay): number {
    const [first] = this.moments(day, 0)
    if (first !== undefined) return first
    const middle = Date.UTC(day.year, day.month - 1, day.day)
    const [jump] = this.changes(middle - dayMs, middle + dayMs)
    return jump ?? middle
  }

  /** The moments after `from`, up to `to`, at which the clock is put forward or back; not more than one a day is looked for. */
  changes(from: number, to: number): number[] {
    const found: number[] = []
    for (let start = from; start < to; start += dayMs) {
      let [before, after] = [start, Math.min(to, start + dayMs)]
      const offset = this.#offset(before)
      if (this.#offset(after) === offset) continue
      while (after - before > 1) {
        const middle = Math.floor((before + after) / 2)
        if (this.#offset(middle) === offset) before = middle
        else after = middle
      }
      found.push(after)
    }
    return found
  }

  /** What the clock is ahead of UTC, in milliseconds. */
  #offset(moment: number): number {
    const second = Math.floor(moment / 1000) * 1000
    const parts: Record<string, number> = {}
    for (const { type, value } of this.#format.formatToParts(second)) parts[type] = Number(value)
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second: shown = 0 } = parts
    return Date.UTC(year, month - 1, day, hour, minute, shown) - second
  }
}
