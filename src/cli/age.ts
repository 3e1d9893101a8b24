/** How long ago, as kubectl writes it in its tables: `42s`, `3m20s`, `5h`, `12d`. */

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

interface Step {
  /** Times below this many milliseconds. */
  readonly until: number
  readonly unit: number
  readonly sign: string
  /** What remains is told in this. */
  readonly rest?: { readonly unit: number; readonly sign: string }
}

const longest: Step = { until: Number.POSITIVE_INFINITY, unit: day, sign: 'd' }
/** From short to long. */
const steps: readonly Step[] = [
  { until: 2 * minute, unit: second, sign: 's' },
  { until: 10 * minute, unit: minute, sign: 'm', rest: { unit: second, sign: 's' } },
  { until: 3 * hour, unit: minute, sign: 'm' },
  { until: 8 * hour, unit: hour, sign: 'h', rest: { unit: minute, sign: 'm' } },
  { until: 2 * day, unit: hour, sign: 'h' },
  { until: 8 * day, unit: day, sign: 'd', rest: { unit: hour, sign: 'h' } },
  longest,
]

/** Since `time`, an ISO 8601 text; `<unknown>` where it is no time. `now` is in epoch milliseconds. */
export function formatAge(time: unknown, now: number): string {
  const since = typeof time === 'string' ? Date.parse(time) : Number.NaN
  if (Number.isNaN(since)) return '<unknown>'
  const passed = Math.max(0, now - since)
  const step = steps.find(({ until }) => passed < until) ?? longest
  const whole = `${Math.floor(passed / step.unit)}${step.sign}`
  if (step.rest === undefined) return whole
  const rest = Math.floor((passed % step.unit) / step.rest.unit)
  return rest === 0 ? whole : `${whole}${rest}${step.rest.sign}`
}
