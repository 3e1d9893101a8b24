/**
 * Requests under way to one host: how much they bring in which time, and how one that has just been found dead is left by all who still
 * wait for it. Used by source-health.ts.
 */
import type { Clock } from './link/clock.ts'

/** The reason of an abort by which a request learns that its host is better left for another now. */
export class SourceLeft extends Error {
  override readonly name = 'SourceLeft'
}

export interface AttemptOptions {
  /** Whether there is somebody else to ask, at this moment. */
  readonly mayLeave: () => boolean
  /** False for questions, and for what our own limits hold back: their time says nothing about the host's speed. */
  readonly measured: boolean
  /** To find out how fast the host is: ends by `leave` after a while, which says whether somebody else is better. */
  readonly trial?: { readonly over: (received: number) => boolean }
}

/** A request under way. */
export interface Attempt {
  /** Aborts with {@link SourceLeft}. */
  readonly signal: AbortSignal
  received(bytes: number): void
  end(): void
}

/** Less than this is over before it has a speed. Bytes. */
const leastSample = 256 * 1024
/** A long transfer is measured again and again. */
const sampleMs = 5_000
/** One that has sent something so recently is alive, whatever happened to its neighbour. */
const silentMs = 1_000
const trialMs = 10_000
const trialBytes = 8 * 1024 * 1024

interface Running {
  readonly options: AttemptOptions
  readonly controller: AbortController
  heardAt: number | undefined
  bytes: number
}

export class HostWatch {
  readonly #clock: Clock
  readonly #measured: (bytes: number, ms: number) => void
  readonly #heard: () => void
  readonly #running = new Set<Running>()
  /** What came since then, from all connections together. */
  #since = 0
  #bytes = 0
  #heardAt: number | undefined

  /** @param heard is called when bytes of a request's answer are here: after a silence, a body that goes on is as good a sign as one that begins. */
  constructor(clock: Clock, measured: (bytes: number, ms: number) => void, heard: () => void) {
    this.#clock = clock
    this.#measured = measured
    this.#heard = heard
  }

  get isAsked(): boolean {
    return this.#running.size > 0
  }

  /** When it last sent something, by the monotonic clock; undefined: not in this process. */
  get heardAt(): number | undefined {
    return this.#heardAt
  }

  begin(options: AttemptOptions): Attempt {
    const running: Running = { options, controller: new AbortController(), heardAt: undefined, bytes: 0 }
    if (options.measured && ![...this.#running].some(each => each.options.measured)) this.#anew()
    this.#running.add(running)
    const callOff = options.trial && this.#clock.after(trialMs, () => this.#endTrial(running))
    return {
      signal: running.controller.signal,
      received: bytes => this.#received(running, bytes),
      end: () => {
        callOff?.()
        if (!this.#running.delete(running)) return
        if (options.measured) this.#sample()
      },
    }
  }

  /** Ends the requests that have heard nothing of late, where there is somebody else to ask. */
  leaveSilent(): void {
    const now = this.#clock.monotonic()
    for (const { options, controller, heardAt } of this.#running) {
      const isSilent = heardAt === undefined || now - heardAt >= silentMs
      if (isSilent && options.mayLeave()) controller.abort(new SourceLeft('the host does not answer'))
    }
  }

  #received(running: Running, bytes: number): void {
    this.#heard()
    running.heardAt = this.#clock.monotonic()
    this.#heardAt = running.heardAt
    const before = running.bytes
    running.bytes += bytes
    if (!running.options.measured) return
    this.#bytes += bytes
    if (running.heardAt - this.#since >= sampleMs) this.#sample()
    if (running.options.trial && before < trialBytes && running.bytes >= trialBytes) this.#endTrial(running)
  }

  #endTrial({ options, controller, bytes }: Running): void {
    this.#sample()
    if (options.trial?.over(bytes)) controller.abort(new SourceLeft('another source is faster'))
  }

  #sample(): void {
    const ms = this.#clock.monotonic() - this.#since
    const isWorth = this.#bytes >= leastSample || (this.#bytes > 0 && ms >= sampleMs)
    if (!isWorth || ms <= 0) return // small parts add up while somebody receives
    this.#measured(this.#bytes, ms)
    this.#anew()
  }

  #anew(): void {
    this.#since = this.#clock.monotonic()
    this.#bytes = 0
  }
}
