/**
 * One token bucket for many takers: bytes are granted in the order of start-time fair queueing, so that every taker that wants
 * more than its share gets the same, however large its chunks are. Used by link.ts for the site, and for each plan with a rate.
 */
import type { Clock } from './clock.ts'

/** What an idle bucket saves up, and by how much a timer may be late without loss. Milliseconds at the rate. */
const burstMs = 50
/** More than this is taken in parts, so that nobody waits behind somebody else's large piece. Bytes. */
const partBytes = 64 * 1024
/** What floating point may lose in a sum. Bytes. */
const tolerance = 1e-6

interface Waiting {
  readonly bytes: number
  /** The queue's own time at which it begins to be served. */
  readonly start: number
  readonly grant: () => void
}

export class RateLimiter {
  readonly #clock: Clock
  #rate: number | undefined
  #tokens = 0
  #filledAt: number
  /** In order of arrival. */
  readonly #waiting = new Set<Waiting>()
  /** The start of what was served last. */
  #virtual = 0
  #callOff: (() => void) | undefined

  /** @param rate bytes per second; unlimited without. */
  constructor(clock: Clock, rate?: number) {
    this.#clock = clock
    this.#rate = rate
    this.#filledAt = clock.monotonic()
  }

  /** Bytes per second; undefined: unlimited. */
  get rate(): number | undefined {
    return this.#rate
  }

  /** Changes the rate at once, for those who wait already, too. */
  setRate(rate: number | undefined): void {
    this.#fill()
    this.#rate = rate
    this.#serve()
  }

  /** A taker of its own, for one connection. */
  flow(): Flow {
    return new Flow((bytes, start, signal) => this.#take(bytes, start, signal))
  }

  async #take(bytes: number, start: (virtual: number) => number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#rate === undefined) return
    this.#fill() // while nobody waits, no more than the burst is saved up
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting)
        reject(signal.reason)
        this.#serve()
      }
      const grant = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const waiting: Waiting = { bytes, start: start(this.#virtual), grant }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(waiting)
      this.#serve()
    })
  }

  #serve(): void {
    this.#callOff?.()
    this.#callOff = undefined
    this.#fill()
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (this.#rate !== undefined) {
        const lacking = next.bytes - this.#tokens
        if (lacking > tolerance) {
          this.#callOff = this.#clock.after(Math.max(1, Math.ceil((lacking * 1000) / this.#rate)), () => this.#serve())
          return
        }
        this.#tokens -= next.bytes
      }
      this.#virtual = next.start
      this.#waiting.delete(next)
      next.grant()
    }
  }

  /** The one whose turn it is; among equals the first that came. */
  #next(): Waiting | undefined {
    let next: Waiting | undefined
    for (const waiting of this.#waiting) if (next === undefined || waiting.start < next.start) next = waiting
    return next
  }

  #fill(): void {
    const now = this.#clock.monotonic()
    const rate = this.#rate ?? 0
    // What somebody waits for is saved up beside the burst, or a piece larger than the burst would never come.
    const most = (rate * burstMs) / 1000 + (this.#next()?.bytes ?? 0)
    this.#tokens = Math.min(most, this.#tokens + (rate * (now - this.#filledAt)) / 1000)
    this.#filledAt = now
  }
}

/** One taker's place among the others. */
export class Flow {
  readonly #take: (bytes: number, start: (virtual: number) => number, signal: AbortSignal) => Promise<void>
  #finish = 0

  constructor(take: (bytes: number, start: (virtual: number) => number, signal: AbortSignal) => Promise<void>) {
    this.#take = take
  }

  /** Waits until so many bytes may pass. Rejects with the signal's reason. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    for (let left = bytes; left > 0; left -= partBytes) {
      const part = Math.min(left, partBytes)
      const start = (virtual: number) => {
        const at = Math.max(virtual, this.#finish)
        this.#finish = at + part
        return at
      }
      await this.#take(part, start, signal)
    }
  }
}
