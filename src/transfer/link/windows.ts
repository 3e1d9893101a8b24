/** When the link may be used: by the clock on the wall, as a tariff or a night shift goes by it. Used by link.ts and forecast.ts. */
import { type TimeWindow, weekdays } from '../../oci/time-window.ts'
import { Zone } from './zone.ts'

const dayMs = 86_400_000
/** How far ahead a change is looked for, in days: a weekly window may be skipped once, in the hour that a spring leaves out. */
const horizons = [2, 16]

interface Window extends TimeWindow {
  readonly zone: Zone
}

/** A time during which nothing changes. */
interface Span {
  readonly from: number
  readonly open: boolean
  readonly until: number | undefined
}

export class Windows {
  readonly #windows: readonly Window[]
  /** The answer to the last question, which is most often asked again. */
  #span: Span | undefined

  /** Several are open when one of them is. None at all: always open. */
  constructor(windows: readonly TimeWindow[]) {
    this.#windows = windows.map(window => ({ ...window, zone: new Zone(window.timezone) }))
  }

  /** Whether the link may be used at that moment (epoch milliseconds). */
  openAt(moment: number): boolean {
    return this.#spanAt(moment).open
  }

  /** The next moment at which that changes; undefined where it never does. */
  nextChange(moment: number): number | undefined {
    return this.#spanAt(moment).until
  }

  #spanAt(moment: number): Span {
    const known = this.#span
    if (known && known.from <= moment && moment < (known.until ?? Number.POSITIVE_INFINITY)) return known
    const open = this.#isOpen(moment)
    const span = { from: moment, open, until: this.#findChange(moment, open) }
    this.#span = span
    return span
  }

  #isOpen(moment: number): boolean {
    return this.#windows.length === 0 || this.#windows.some(window => isIn(window, moment))
  }

  #findChange(moment: number, open: boolean): number | undefined {
    if (this.#windows.length === 0) return undefined
    for (const days of horizons) {
      const edges = this.#windows.flatMap(window => edgesOf(window, moment, days)).sort((a, b) => a - b)
      const change = edges.find(edge => edge > moment && this.#isOpen(edge) !== open)
      if (change !== undefined && change <= moment + days * dayMs) return change
    }
    return undefined
  }
}

function isIn({ zone, from, to, days }: Window, moment: number): boolean {
  const { minutes, weekday } = zone.at(moment)
  const begins = (day: number) => days.some(name => weekdays.indexOf(name) === (day + 7) % 7)
  if (from < to) return from <= minutes && minutes < to && begins(weekday)
  return (minutes >= from && begins(weekday)) || (minutes < to && begins(weekday - 1))
}

/** Every moment around and after `moment` at which the window may open or close. */
function edgesOf({ zone, from, to }: Window, moment: number, days: number): number[] {
  const { year, month, day } = zone.at(moment)
  const edges = zone.changes(moment - dayMs, moment + days * dayMs)
  for (let ahead = -1; ahead <= days + 1; ahead++) {
    const date = { year, month, day: day + ahead }
    edges.push(...zone.moments(date, from), ...zone.moments(date, to))
  }
  return edges
}
