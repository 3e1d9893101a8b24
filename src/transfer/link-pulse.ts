/**
 * Whether anything comes over the link at all: when any host last gave a sign of life, and which gave none when they were asked.
 * Used by source-health.ts.
 */
import type { Clock } from './link/clock.ts'

/** A link over which nothing has come for so long is taken to be down. */
const longestQuietMs = 30_000

export class LinkPulse {
  readonly #clock: Clock
  /** Hosts that gave no sign of life when they were last asked. */
  readonly #silent = new Set<string>()
  /** When any host last gave one, by the monotonic clock. */
  #heardAt: number | undefined
  /** Somebody was told that the link is down, and not yet that it is back. */
  #isTakenDown = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The host was asked, and nothing came. */
  missed(host: string): void {
    this.#silent.add(host)
  }

  /** Something came. Where the link was taken to be down, gives the hosts that were silent: whether they are there is open now. */
  heard(host: string): readonly string[] | undefined {
    this.#heardAt = this.#clock.monotonic()
    if (!this.#isTakenDown) {
      this.#silent.delete(host)
      return undefined
    }
    const silent = [...this.#silent]
    this.#isTakenDown = false
    this.#silent.clear()
    return silent
  }

  /** Whether all that is known says that the link to these hosts is down. Who is told so is owed word of its return. */
  isCutOff(hosts: readonly string[]): boolean {
    const isCutOff = hosts.length > 0 && hosts.every(host => this.#silent.has(host)) && !this.#hasHeard()
    this.#isTakenDown ||= isCutOff
    return isCutOff
  }

  forget(host: string): void {
    this.#silent.delete(host)
  }

  #hasHeard(): boolean {
    return this.#heardAt !== undefined && this.#clock.monotonic() - this.#heardAt < longestQuietMs
  }
}
