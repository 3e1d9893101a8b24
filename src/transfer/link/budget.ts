/** What may cross the link in a day, week or month: for the whole site, and for groups of upstreams. Used by link.ts and forecast.ts. */
import type { Logger } from 'pino'
import { Account, type AccountRows } from './account.ts'
import type { Clock } from './clock.ts'
import { Period, type PeriodOptions } from './period.ts'

export interface BudgetLimits extends PeriodOptions {
  /** For everything together, in bytes a period; no limit without. */
  readonly bytes?: number
  readonly groups: readonly BudgetGroup[]
}

/** Upstreams that are counted together, beside the site's own account. */
export interface BudgetGroup {
  readonly name: string
  readonly hosts: readonly string[]
  /** A period. */
  readonly bytes: number
}

export interface BudgetOptions {
  readonly limits: BudgetLimits
  readonly rows: AccountRows
  readonly clock: Clock
  readonly logger: Logger
}

/** An account as it is now. Bytes; times are epoch milliseconds. */
export interface AccountState {
  /** null: the whole site. */
  readonly group: string | null
  readonly limit: number
  readonly used: number
  readonly left: number
  readonly debt: number
  readonly resetsAt: number
}

export class Budget {
  readonly #options: BudgetOptions
  readonly #site: Account | undefined
  readonly #groups: readonly { readonly account: Account; readonly hosts: ReadonlySet<string> }[]

  constructor(options: BudgetOptions) {
    const { limits, rows } = options
    const period = new Period(limits)
    const open = (name: string, limit: number) => new Account({ name, limit, period, rows })
    this.#options = options
    this.#site = limits.bytes === undefined ? undefined : open('site', limits.bytes)
    this.#groups = limits.groups.map(({ name, hosts, bytes }) => ({
      account: open(`group:${name}`, bytes),
      hosts: new Set(hosts),
    }))
  }

  get per(): PeriodOptions['per'] {
    return this.#options.limits.per
  }

  /** Takes up what earlier processes used. */
  start(): void {
    for (const account of this.#all()) account.load(this.#now())
  }

  /** Writes down the exact figures. */
  stop(): void {
    for (const account of this.#all()) this.#keep(() => account.save(this.#now()))
  }

  /** Counts bytes that have crossed the wire. Gives whether an account has just been used up by them. */
  add(host: string, bytes: number): boolean {
    let usedUp = false
    for (const account of this.accountsOf(host)) {
      const before = account.left(this.#now())
      this.#keep(() => account.add(bytes, this.#now()))
      usedUp ||= before > 0 && account.left(this.#now()) === 0
    }
    return usedUp
  }

  /** The accounts that bytes from a host count in. */
  accountsOf(host: string): Account[] {
    const groups = this.#groups.filter(group => group.hosts.has(host)).map(group => group.account)
    return this.#site ? [this.#site, ...groups] : groups
  }

  /** Every account, the site's first. */
  state(): AccountState[] {
    const now = this.#now()
    return this.#all().map(account => ({
      group: account === this.#site ? null : account.name.slice('group:'.length),
      limit: account.limit,
      used: account.used(now),
      left: account.left(now),
      debt: account.debt(now),
      resetsAt: account.resetsAt(now),
    }))
  }

  #all(): Account[] {
    const groups = this.#groups.map(group => group.account)
    return this.#site ? [this.#site, ...groups] : groups
  }

  #now(): number {
    return this.#options.clock.now()
  }

  /** A disk that is full for the moment must not stop the counting; memory goes on with it. */
  #keep(write: () => void): void {
    try {
      write()
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'the use of the budget could not be written down')
    }
  }
}
