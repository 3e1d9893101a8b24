/** What the link will let through, and by when: inside windows, budget and rate. Used by link.ts for quotes and deadlines. */
import type { Account } from './account.ts'
import type { Windows } from './windows.ts'

export interface ForecastOptions {
  readonly windows: Windows
  /** Those that the bytes count in; none for a plan that may borrow. */
  readonly accounts: readonly Account[]
  /** Bytes a second while the link is open. */
  readonly rate: number
}

/** A stretch of time in which so many bytes can pass, evenly. */
interface Stretch {
  readonly from: number
  readonly bytes: number
}

/** Windows and periods that are looked through, and how far: a forecast for later is none. */
const maxStretches = 1000
const farthestMs = 400 * 86_400_000

/** When so many bytes will have passed, in epoch milliseconds; undefined: not within a year, as far as that can be said. */
export function forecast(bytes: number, now: number, options: ForecastOptions): number | undefined {
  if (bytes <= 0) return now
  let left = bytes
  for (const stretch of stretchesFrom(now, options)) {
    if (left <= stretch.bytes) return Math.ceil(stretch.from + (left * 1000) / options.rate)
    left -= stretch.bytes
  }
  return undefined
}

/** How many bytes can pass from now until then. */
export function capacity(now: number, until: number, options: ForecastOptions): number {
  let bytes = 0
  for (const stretch of stretchesFrom(now, options)) {
    if (stretch.from >= until) break
    bytes += Math.min(stretch.bytes, ((until - stretch.from) * options.rate) / 1000)
  }
  return Math.floor(bytes)
}

function* stretchesFrom(now: number, { windows, accounts, rate }: ForecastOptions): Generator<Stretch> {
  if (!(rate > 0)) return
  const ledgers = accounts.map(account => new Ledger(account, now))
  let at = now
  for (let count = 0; count < maxStretches && at < now + farthestMs; count++) {
    const change = windows.nextChange(at)
    if (!windows.openAt(at)) {
      if (change === undefined) return
      at = change
      continue
    }
    const left = Math.min(...ledgers.map(ledger => ledger.leftAt(at)))
    const resets = ledgers.map(ledger => ledger.resetsAt(at))
    const end = Math.min(change ?? Number.POSITIVE_INFINITY, now + farthestMs, ...resets)
    const bytes = Math.min(left, ((end - at) * rate) / 1000)
    if (bytes > 0) yield { from: at, bytes }
    for (const ledger of ledgers) ledger.use(bytes)
    at = end
  }
}

/** An account as it will be when nothing else uses it. */
class Ledger {
  readonly #account: Account
  #used: number
  #end: number

  constructor(account: Account, now: number) {
    this.#account = account
    this.#used = account.used(now)
    this.#end = account.resetsAt(now)
  }

  resetsAt(at: number): number {
    this.#turn(at)
    return this.#end
  }

  leftAt(at: number): number {
    this.#turn(at)
    return Math.max(0, this.#account.limit - this.#used)
  }

  use(bytes: number): void {
    this.#used += bytes
  }

  #turn(at: number): void {
    while (at >= this.#end) {
      this.#used = Math.max(0, this.#used - this.#account.limit)
      this.#end = this.#account.periodAfter(this.#end)
    }
  }
}
