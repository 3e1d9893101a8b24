/** The days, weeks and months over which a budget is counted, by the calendar of a time zone. Used by budget.ts. */
import { type Weekday, weekdays } from '../../oci/time-window.ts'
import { Zone } from './zone.ts'

export type Per = 'day' | 'week' | 'month'

export interface PeriodOptions {
  readonly per: Per
  /** The day on which a week or month begins: a weekday, or 1 to 28. Default Monday, the 1st. */
  readonly firstDay?: Weekday | number
  /** IANA name. */
  readonly timezone: string
}

export class Period {
  readonly #options: PeriodOptions
  readonly #zone: Zone

  constructor(options: PeriodOptions) {
    this.#options = options
    this.#zone = new Zone(options.timezone)
  }

  get per(): Per {
    return this.#options.per
  }

  /** The beginning of the period that a moment is in. Epoch milliseconds, as all here. */
  startOf(moment: number): number {
    return this.#startAt(moment, 0)
  }

  /** The beginning of the period after it. */
  endOf(moment: number): number {
    return this.#startAt(moment, 1)
  }

  #startAt(moment: number, ahead: number): number {
    const { year, month, day, weekday } = this.#zone.at(moment)
    const { per, firstDay } = this.#options
    if (per === 'day') return this.#zone.startOf({ year, month, day: day + ahead })
    if (per === 'week') {
      const first = typeof firstDay === 'string' ? weekdays.indexOf(firstDay) : 0
      return this.#zone.startOf({ year, month, day: day - ((weekday - first + 7) % 7) + 7 * ahead })
    }
    const first = typeof firstDay === 'number' ? firstDay : 1
    return this.#zone.startOf({ year, month: month + ahead - (day < first ? 1 : 0), day: first })
  }
}
