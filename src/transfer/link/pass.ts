/** Leave to move one blob's bytes, for as long as the link is open to one of those who want it. Made by link.ts, held by blob-fetcher.ts. */
import type { TimeWindow } from '../../oci/time-window.ts'
import type { Flow, RateLimiter } from './limiter.ts'
import { LinkClosed, type Obstacle } from './obstacle.ts'

/** What a plan says about the link, for itself. One object for each run of a plan: its rate holds over all that goes under it. */
export interface PlanLimits {
  /** In place of the site's own windows. */
  readonly windows?: readonly TimeWindow[]
  /** Bytes a second, within the site's own rate. */
  readonly maxRate?: number
}

/** Who uses the link, as far as it matters here. */
export interface LinkUse {
  /** 0 to 100; 100 may go beyond the budget. */
  readonly priority: number
  readonly limits?: PlanLimits
}

export interface LinkPassOptions {
  /** The upstream that sends. */
  readonly host: string
  /** All who want the blob now: whoever is allowed most decides. */
  readonly uses: () => Iterable<LinkUse>
  readonly limiterOf: (use: LinkUse) => RateLimiter | undefined
  readonly left: (pass: LinkPass) => void
}

export class LinkPass {
  readonly host: string
  readonly #options: LinkPassOptions
  readonly #controller = new AbortController()
  readonly #flows = new Map<RateLimiter, Flow>()

  constructor(options: LinkPassOptions) {
    this.host = options.host
    this.#options = options
  }

  /** Aborts with {@link LinkClosed} when the transfer has to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get uses(): readonly LinkUse[] {
    return [...this.#options.uses()]
  }

  suspend(obstacle: Obstacle): void {
    this.#controller.abort(new LinkClosed(obstacle))
  }

  /** Waits until bytes that have come are within the plan's own rate. */
  async pace(bytes: number, signal: AbortSignal): Promise<void> {
    const limiter = this.#widest()
    if (limiter === undefined) return
    const flow = this.#flows.get(limiter) ?? limiter.flow()
    this.#flows.set(limiter, flow)
    await flow.take(bytes, signal)
  }

  /** The transfer has ended, whatever came of it. */
  leave(): void {
    this.#options.left(this)
  }

  #widest(): RateLimiter | undefined {
    let widest: RateLimiter | undefined
    for (const use of this.#options.uses()) {
      const limiter = this.#options.limiterOf(use)
      if (limiter === undefined) return undefined
      if (widest === undefined || (limiter.rate ?? 0) > (widest.rate ?? 0)) widest = limiter
    }
    return widest
  }
}
