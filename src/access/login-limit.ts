/**
 * Slows down whoever shows wrong tokens again and again, by address: after a few free failures each one doubles the wait. The table is bounded; the
 * address that failed longest ago gives way. A right token is let in whatever its address did: tokens can't be guessed, and a
 * neighbour behind the same address must not lock others out. So this bounds log, audit and work, and tells a misconfigured client to wait.
 */

export interface LoginLimitOptions {
  /** Addresses to remember. */
  readonly maxAddresses?: number
  /** Failures without a wait. */
  readonly free?: number
  readonly firstWaitMs?: number
  readonly maxWaitMs?: number
  /** Without a failure for so long, an address starts afresh. */
  readonly forgetMs?: number
  /** Epoch milliseconds. */
  readonly now?: () => number
}

interface Failures {
  readonly count: number
  readonly lastAt: number
  readonly blockedUntil: number
}

export class LoginLimit {
  readonly #options: Required<LoginLimitOptions>
  /** The address that failed longest ago comes first. */
  readonly #failures = new Map<string, Failures>()

  constructor(options: LoginLimitOptions = {}) {
    this.#options = {
      ...{ maxAddresses: 10_000, free: 5, firstWaitMs: 1000, maxWaitMs: 15 * 60_000, forgetMs: 60 * 60_000 },
      now: Date.now,
      ...options,
    }
  }

  get size(): number {
    return this.#failures.size
  }

  /** How long the address has to wait, in milliseconds; 0 when it need not. */
  waitMs(address: string): number {
    const known = this.#find(address)
    return known === undefined ? 0 : Math.max(0, known.blockedUntil - this.#options.now())
  }

  /** Counts a wrong token. Not to be called for one that came while the address had to wait: else a client that never stops would wait for ever. */
  fail(address: string): void {
    const { free, firstWaitMs, maxWaitMs, maxAddresses, now } = this.#options
    const key = keyOf(address)
    const count = (this.#find(address)?.count ?? 0) + 1
    const wait = count <= free ? 0 : Math.min(maxWaitMs, firstWaitMs * 2 ** Math.min(count - free - 1, 30))
    this.#failures.delete(key)
    this.#failures.set(key, { count, lastAt: now(), blockedUntil: now() + wait })
    if (this.#failures.size <= maxAddresses) return
    const [oldest] = this.#failures.keys()
    if (oldest !== undefined) this.#failures.delete(oldest)
  }

  /** Forgets the failures of an address: it has shown a right token. */
  succeed(address: string): void {
    if (this.#failures.size > 0) this.#failures.delete(keyOf(address))
  }

  #find(address: string): Failures | undefined {
    const known = this.#failures.get(keyOf(address))
    if (known === undefined) return undefined
    if (this.#options.now() - known.lastAt < this.#options.forgetMs) return known
    this.#failures.delete(keyOf(address))
    return undefined
  }
}

/** IPv4 as it is, also when it is written as IPv6; of IPv6 the /64, which is what one owner has at least. */
function keyOf(address: string): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (v4?.[1] !== undefined) return v4[1]
  if (!address.includes(':')) return address
  const [head = '', tail] = address.toLowerCase().replace(/%.*$/, '').split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}
