/** Spans of the local week in which a link may be used, as people write them. Used by the configuration, by plans and by transfer/link. */

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Weekday = (typeof weekdays)[number]

/** A span of the day that comes again: whenever a clock on the wall of its time zone shows a time in it. */
export interface TimeWindow {
  /** Minutes since midnight, 0 to 1439. */
  readonly from: number
  /** Minutes since midnight, 0 to 1440. Not after `from`: the window goes on past midnight. */
  readonly to: number
  /** IANA name. */
  readonly timezone: string
  /** The days on which it begins. */
  readonly days: readonly Weekday[]
}

/** A window as it is written. */
export interface WindowText {
  readonly from: string
  readonly to: string
  readonly timezone?: string
  readonly days?: readonly Weekday[]
}

/** The window of a text whose parts were checked; every day and the machine's time zone where it says neither. */
export function readWindow(text: WindowText): TimeWindow {
  const [from, to] = [parseTimeOfDay(text.from), parseTimeOfDay(text.to)]
  if (from === undefined || to === undefined) throw new RangeError(`"${text.from}" to "${text.to}" is no span of a day`)
  return { from: from % 1440, to, timezone: text.timezone ?? machineTimezone(), days: text.days ?? weekdays }
}

/** Minutes since midnight of `00:00` to `24:00`; undefined for any other text. */
export function parseTimeOfDay(text: string): number | undefined {
  const parts = /^([01]\d|2[0-4]):([0-5]\d)$/.exec(text)
  if (parts === null) return undefined
  const minutes = Number(parts[1]) * 60 + Number(parts[2])
  return minutes > 1440 ? undefined : minutes
}

/** Whether this machine knows a time zone by that name. */
export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** The time zone that this machine is set to. */
export function machineTimezone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone
}
