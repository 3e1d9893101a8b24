/**
 * The site's one link to the world: what every transfer together may take of it, and when. Rate, windows and budget are asked here and
 * nowhere else. Made by agent/engine.ts; asked by blob-fetcher.ts before and while bytes move, by the registries for every answer,
 * and by plans for what to expect.
 */
import type { Logger } from 'pino'
import type { TimeWindow } from '../../oci/time-window.ts'
import type { Line, Passage } from '../../registry/line.ts'
import type { AccountRows } from './account.ts'
import { type AccountState, Budget, type BudgetLimits } from './budget.ts'
import { type Clock, systemClock } from './clock.ts'
import { capacity, type ForecastOptions, forecast } from './forecast.ts'
import { RateLimiter } from './limiter.ts'
import { RateMeter } from './meter.ts'
import { later, type Obstacle, soonest } from './obstacle.ts'
import { LinkPass, type LinkUse, type PlanLimits } from './pass.ts'
import { aheadOf, LinkPassage, mostAtOnceOf } from './passage.ts'
import { Throughput } from './throughput.ts'
import { Windows } from './windows.ts'

export interface LinkOptions {
  /** Bytes a second; unlimited without. */
  readonly maxRate?: number
  /** Always open without any. */
  readonly windows?: readonly TimeWindow[]
  readonly budget?: { readonly limits: BudgetLimits; readonly rows: AccountRows }
  readonly clock?: Clock
  readonly logger: Logger
}

/** How the link is now. Bytes, bytes a second, epoch milliseconds. */
export interface LinkState {
  readonly maxRate: number | undefined
  /** What the configuration says; `maxRate` differs once it was changed at run time. */
  readonly configuredMaxRate: number | undefined
  /** Over the last seconds. */
  readonly rate: number
  readonly receivedBytes: number
  readonly window: { readonly open: boolean; readonly changesAt: number | undefined }
  readonly budget: { readonly per: BudgetLimits['per']; readonly accounts: readonly AccountState[] } | undefined
}

/** Priority from which a plan may go beyond the budget. */
const borrowsFrom = 100
/** Clocks are put right: what depends on them is looked at again at least so often. Milliseconds. */
const lookAgainMs = 60_000

interface Watcher {
  readonly check: () => Obstacle | undefined
  readonly clear: () => void
  /** When its obstacle is gone, as was known when it was last looked at. */
  until: number | undefined
}

export class Link implements Line {
  readonly #options: LinkOptions
  readonly #clock: Clock
  readonly #limiter: RateLimiter
  readonly #windows: Windows
  readonly #budget: Budget | undefined
  readonly #meter: RateMeter
  /** By plan: windows and limiters live as long as the plan's limits do. */
  readonly #planWindows = new WeakMap<PlanLimits, Windows>()
  readonly #planLimiters = new WeakMap<PlanLimits, RateLimiter>()
  readonly #passes = new Set<LinkPass>()
  readonly #watchers = new Set<Watcher>()
  #callOff: (() => void) | undefined
  #received = 0

  constructor(options: LinkOptions) {
    const { maxRate, windows = [], budget, logger, clock = systemClock } = options
    this.#options = options
    this.#clock = clock
    this.#limiter = new RateLimiter(clock, maxRate)
    this.#windows = new Windows(windows)
    this.#meter = new RateMeter(clock)
    this.#budget = budget && new Budget({ ...budget, clock, logger })
  }

  /** Takes up what earlier processes have used of the budget. */
  start(): void {
    this.#budget?.start()
  }

  /** Writes down the exact use of the budget. Transfers have ended before. */
  stop(): void {
    this.#passes.clear()
    this.#watchers.clear()
    this.#arm()
    this.#budget?.stop()
  }

  /** Changes the site's rate at once, for what is under way, too. Bytes a second; undefined: unlimited. */
  setMaxRate(rate: number | undefined): void {
    this.#limiter.setRate(rate)
  }

  get state(): LinkState {
    const now = this.#clock.now()
    return {
      maxRate: this.#limiter.rate,
      configuredMaxRate: this.#options.maxRate,
      rate: this.#meter.recent,
      receivedBytes: this.#received,
      window: { open: this.#windows.openAt(now), changesAt: this.#windows.nextChange(now) },
      budget: this.#budget && { per: this.#budget.per, accounts: this.#budget.state() },
    }
  }

  /** A measure of its own of what comes over the link. */
  throughput(): Throughput {
    return new Throughput(this.#clock, () => this.#received)
  }

  get mostAtOnce(): number {
    return mostAtOnceOf(this.#limiter.rate)
  }

  head(host: string, bytes: number): void {
    this.#count(host, bytes)
  }

  body(host: string, length: number | undefined): Passage {
    const ahead = aheadOf(this.#limiter.rate ?? 0)
    return new LinkPassage({ flow: this.#limiter.flow(), length, ahead, counted: bytes => this.#count(host, bytes) })
  }

  /** What keeps content from crossing now, whichever of the hosts sent it; nothing while one of them may. */
  obstacle(use: LinkUse, hosts: readonly string[]): Obstacle | undefined {
    return soonest(hosts.map(host => later(this.#closedWindow(use), this.#usedUpBudget(use, host))))
  }

  /** Leave to move bytes from a host, for everyone in `uses`; its signal is aborted at once where nobody of them may now. */
  enter(host: string, uses: () => Iterable<LinkUse>): LinkPass {
    const pass = new LinkPass({
      host,
      uses,
      limiterOf: use => this.#limiterOf(use),
      left: each => {
        this.#passes.delete(each)
        this.#arm()
      },
    })
    this.#passes.add(pass)
    this.#suspend(pass)
    this.#arm()
    return pass
  }

  /**
   * Calls `clear` once, as soon as `check` finds no obstacle any more, and not before this has returned. The answer calls that off.
   * Clocks that jump, and budgets, are seen within a minute.
   */
  whenClear(check: () => Obstacle | undefined, clear: () => void): () => void {
    const watcher: Watcher = { check, clear, until: this.#untilOf(check()) }
    this.#watchers.add(watcher)
    this.#arm()
    return () => {
      this.#watchers.delete(watcher)
      this.#arm()
    }
  }

  /**
   * When so many bytes will be here, in epoch milliseconds, if nothing else used the link: inside windows, budget and rates.
   * @param rate what was measured, in bytes a second; the usual rate of the link without. undefined where nothing is known, or never.
   */
  estimate(bytes: number, use: LinkUse, hosts: readonly string[], rate?: number): number | undefined {
    const options = this.#forecastOptions(use, hosts, rate)
    return options && forecast(bytes, this.#clock.now(), options)
  }

  /** How many bytes the link lets through from now until then, as in {@link estimate}. */
  capacity(until: number, use: LinkUse, hosts: readonly string[], rate?: number): number | undefined {
    const options = this.#forecastOptions(use, hosts, rate)
    return options && capacity(this.#clock.now(), until, options)
  }

  /** What holds for this use now, a sentence each: for those who ask why. */
  explain(use: LinkUse, hosts: readonly string[]): readonly string[] {
    const maxRate = this.#limiter.rate
    const planRate = use.limits?.maxRate
    const obstacle = this.obstacle(use, hosts)
    return [
      obstacle === undefined ? 'neither a window nor a budget holds it back' : obstacle.message,
      ...(maxRate === undefined ? [] : [`the site's rate is ${maxRate} bytes a second`]),
      ...(planRate === undefined ? [] : [`the plan's rate is ${planRate} bytes a second`]),
    ]
  }

  #forecastOptions(use: LinkUse, hosts: readonly string[], rate: number | undefined): ForecastOptions | undefined {
    const rates = [rate ?? this.#meter.usual, this.#limiter.rate, use.limits?.maxRate].filter(
      each => each !== undefined,
    )
    if (rates.length === 0) return undefined
    const [host = ''] = hosts
    const accounts = use.priority >= borrowsFrom ? [] : (this.#budget?.accountsOf(host) ?? [])
    return { windows: this.#windowsOf(use), accounts, rate: Math.min(...rates) }
  }

  #count(host: string, bytes: number): void {
    this.#received += bytes
    this.#meter.add(bytes)
    if (this.#budget?.add(host, bytes)) this.#look()
  }

  #closedWindow(use: LinkUse): Obstacle | undefined {
    const windows = this.#windowsOf(use)
    const now = this.#clock.now()
    if (windows.openAt(now)) return undefined
    const until = windows.nextChange(now)
    const whose = use.limits?.windows ? "the plan's own windows" : 'the transfer windows'
    return { reason: 'Window', until, message: `outside ${whose}; goes on ${formatUntil(until)}` }
  }

  #usedUpBudget(use: LinkUse, host: string): Obstacle | undefined {
    if (this.#budget === undefined || use.priority >= borrowsFrom) return undefined
    const now = this.#clock.now()
    const { per } = this.#budget
    const obstacles = this.#budget
      .accountsOf(host)
      .filter(account => account.left(now) === 0)
      .map((account): Obstacle => {
        const until = account.opensAt(now)
        const whose = account.name === 'site' ? '' : ` of ${account.name.replace(':', ' ')}`
        const message = `the budget${whose} of ${account.limit} bytes a ${per} is used up; goes on ${formatUntil(until)}`
        return { reason: 'Budget', until, message }
      })
    return obstacles.reduce<Obstacle | undefined>(later, undefined)
  }

  #windowsOf({ limits }: LinkUse): Windows {
    if (limits?.windows === undefined) return this.#windows
    const known = this.#planWindows.get(limits) ?? new Windows(limits.windows)
    this.#planWindows.set(limits, known)
    return known
  }

  #limiterOf({ limits }: LinkUse): RateLimiter | undefined {
    if (limits?.maxRate === undefined) return undefined
    const known = this.#planLimiters.get(limits) ?? new RateLimiter(this.#clock, limits.maxRate)
    this.#planLimiters.set(limits, known)
    return known
  }

  /** Suspends what may not go on, tells those who wait for what may again. */
  #look(): void {
    for (const pass of this.#passes) this.#suspend(pass)
    for (const watcher of [...this.#watchers]) {
      const obstacle = watcher.check()
      watcher.until = this.#untilOf(obstacle)
      if (obstacle === undefined && this.#watchers.delete(watcher)) watcher.clear()
    }
    this.#arm()
  }

  /** Ends a pass that nobody in it may use any more. */
  #suspend(pass: LinkPass): void {
    const obstacle = soonest(pass.uses.map(use => this.obstacle(use, [pass.host])))
    if (obstacle) pass.suspend(obstacle)
  }

  /** When to look again at what an obstacle keeps waiting: at once where there is none. */
  #untilOf(obstacle: Obstacle | undefined): number | undefined {
    return obstacle === undefined ? this.#clock.now() : obstacle.until
  }

  /** Looks again when something is known to change, and at least every minute while somebody is here. */
  #arm(): void {
    this.#callOff?.()
    this.#callOff = undefined
    if (this.#passes.size + this.#watchers.size === 0) return
    const now = this.#clock.now()
    const changes = [...this.#passes].flatMap(pass => pass.uses.map(use => this.#windowsOf(use).nextChange(now)))
    for (const { until } of this.#watchers) changes.push(until)
    const next = Math.min(now + lookAgainMs, ...changes.filter(change => change !== undefined))
    this.#callOff = this.#clock.after(Math.max(1, next - now), () => this.#look())
  }
}

function formatUntil(until: number | undefined): string {
  return until === undefined ? 'never' : `at ${new Date(until).toISOString().replace(/\.\d+Z$/, 'Z')}`
}
