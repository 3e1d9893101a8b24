/**
 * How each upstream host does: how fast it sends, whether it rests after a failure, whether it sent wrong content. Known to every
 * transfer at once and remembered across restarts. Fed and asked by sources.ts and source-choice.ts; told by upstream-ledger.ts.
 */
import { EventEmitter } from 'node:events'
import type { Logger } from 'pino'
import type { ErrorCode, ImageError } from '../oci/errors.ts'
import type { HealthRecord } from '../state/source-health.ts'
import { type Clock, systemClock } from './link/clock.ts'
import { LinkPulse } from './link-pulse.ts'
import { type Attempt, type AttemptOptions, HostWatch } from './source-attempt.ts'

export interface SourceHealthOptions {
  /** Where it is remembered; only in memory without. */
  readonly rows?: { list(): readonly HealthRecord[]; put(record: HealthRecord): void }
  readonly clock?: Clock
  readonly logger?: Logger
}

/** A host's health as people are told. */
export interface HostHealth {
  /** Bytes a second of late; null: not measured. */
  readonly goodput: number | null
  /** ISO time until which it is asked last, or not at all while others have the content. */
  readonly restingUntil: string | null
  readonly why: string | null
}

/** What a host does for which it rests: it can't be reached, costs a time-out, or asks for it. */
const restingCodes: ReadonlySet<ErrorCode> = new Set([
  'UNAVAILABLE',
  'TIMEOUT',
  'STALLED',
  'DNS',
  'TLS',
  'TOOMANYREQUESTS',
])
/** What a host that can't be reached and a link that is down have in common. */
const silentCodes: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'TIMEOUT', 'DNS'])
/** Long enough that a dead host costs one time-out and not one a blob; longer each time it fails again. */
const firstRestMs = 60_000
const longestRestMs = 30 * 60_000
const asideMs = 6 * 60 * 60_000
/** What was measured so long ago counts half. */
const halfLifeMs = 30 * 60_000
/** A measure so old is worth another trial, and a host gets one so often at most. */
const staleMs = 60 * 60_000
const trialEveryMs = 10 * 60_000
/** A host that has been silent for so long, and no longer, is taken to be back any moment. */
const [leastLostMs, mostLostMs] = [1_000, 30_000]
const writeEveryMs = 60_000
const maxHosts = 200

interface Host {
  record: HealthRecord
  readonly watch: HostWatch
  /** Whether its rest is its own wish, by `Retry-After`. */
  hasAskedForRest: boolean
  /** Monotonic. */
  triedAt: number | undefined
  writtenAt: number | undefined
  isDirty: boolean
}

export interface HealthEvents {
  /** A host has given a sign of life, the first one of any after {@link SourceHealth.isCutOff} said that the link is down. */
  back: []
}

export class SourceHealth {
  readonly events = new EventEmitter<HealthEvents>()
  readonly #rows: SourceHealthOptions['rows']
  readonly #clock: Clock
  readonly #logger: Logger | undefined
  /** The one that was heard of least recently first. */
  readonly #hosts = new Map<string, Host>()
  readonly #pulse: LinkPulse
  #callOff: (() => void) | undefined

  constructor({ rows, clock = systemClock, logger }: SourceHealthOptions = {}) {
    this.#rows = rows
    this.#clock = clock
    this.#pulse = new LinkPulse(clock)
    this.#logger = logger
  }

  /** Takes up what earlier processes knew. */
  start(): void {
    for (const record of this.#rows?.list() ?? []) this.#of(record.host).record = record
  }

  /** Writes down what is not yet written. */
  stop(): void {
    this.#callOff?.()
    this.#callOff = undefined
    for (const host of this.#hosts.values()) if (host.isDirty) this.#write(host)
  }

  /** Bytes a second while it was asked for content, over all its connections; undefined: never measured. */
  goodput(host: string): number | undefined {
    const record = this.#hosts.get(host)?.record
    return record && record.busyMs > 0 ? (record.bytes * 1000) / record.busyMs : undefined
  }

  /**
   * Whether the host is better not asked now: it failed a short while ago; or its rest has just ended, and one who asks finds out
   * whether it is back.
   */
  rests(host: string): boolean {
    const known = this.#hosts.get(host)
    if (known === undefined || known.record.failures === 0) return false
    return this.#isAhead(known.record.restingUntil, longestRestMs) || known.watch.isAsked
  }

  /** Milliseconds until its rest ends; 0 when it doesn't rest. */
  restLeft(host: string): number {
    const until = this.#hosts.get(host)?.record.restingUntil ?? 0
    return this.#isAhead(until, longestRestMs) ? until - this.#clock.now() : 0
  }

  /** Whether it sent content a moment ago and none since: what fails is the link, most likely, and comes back by itself. */
  isLost(host: string): boolean {
    const heardAt = this.#hosts.get(host)?.watch.heardAt
    if (heardAt === undefined) return false
    const silentMs = this.#clock.monotonic() - heardAt
    return leastLostMs <= silentMs && silentMs < mostLostMs
  }

  /**
   * Whether none of these hosts gave a sign of life when it was last asked, nor did any other of late: as far as can be known here, the
   * link is down. Who is told so hears by `back` when it isn't any more.
   */
  isCutOff(hosts: readonly string[]): boolean {
    return this.#pulse.isCutOff(hosts)
  }

  /** Whether it sent wrong content some hours ago. */
  isAside(host: string): boolean {
    return this.#isAhead(this.#hosts.get(host)?.record.asideUntil ?? 0, asideMs)
  }

  /** Whether it is time to find out how fast the host is. */
  wantsTrial(host: string): boolean {
    const known = this.#hosts.get(host)
    if (known?.triedAt !== undefined && this.#clock.monotonic() - known.triedAt < trialEveryMs) return false
    const age = this.#clock.now() - (known?.record.measuredAt ?? 0)
    return known === undefined || age > staleMs || age < 0
  }

  /** A request to the host begins; whoever makes it ends the attempt. */
  begin(host: string, options: AttemptOptions): Attempt {
    const known = this.#of(host)
    if (options.trial) known.triedAt = this.#clock.monotonic()
    return known.watch.begin(options)
  }

  /** Something came that was asked of the host, whatever it was: an answer's head, a refusal, bytes. */
  heard(host: string): void {
    const silent = this.#pulse.heard(host)
    if (silent === undefined) return
    this.#endRests(silent)
    this.events.emit('back')
  }

  /** The host has answered as it should. */
  answered(host: string): void {
    this.heard(host)
    const known = this.#hosts.get(host)
    if (known === undefined || known.record.failures === 0) return
    this.#change(known, { failures: 0, restingUntil: 0, ...(this.isAside(host) ? {} : { why: null }) })
  }

  /** The host has failed. One that sent something before it was cut off is not dead: only the blob's next try goes elsewhere. */
  failed(host: string, error: ImageError, progressed = false): void {
    if (!error.answered && silentCodes.has(error.code)) this.#pulse.missed(host)
    if (!restingCodes.has(error.code) || (progressed && error.code !== 'STALLED')) return
    const known = this.#of(host)
    // Those who asked at the same time tell of the same failure.
    if (!this.#isAhead(known.record.restingUntil, longestRestMs)) {
      const failures = known.record.failures + 1
      const wanted = error.retryAfterMs ?? firstRestMs * 2 ** Math.min(failures - 1, 10)
      const restMs = Math.min(longestRestMs, wanted)
      const why = this.isAside(host) ? known.record.why : `${error.code}: ${error.message}`
      known.hasAskedForRest = error.retryAfterMs !== undefined
      this.#change(known, { failures, restingUntil: this.#clock.now() + restMs, why })
    }
    known.watch.leaveSilent()
  }

  /** The host has sent wrong content. Gives the time until which it is put aside. */
  putAside(host: string, why: string): string {
    const known = this.#of(host)
    const asideUntil = this.#clock.now() + asideMs
    this.#change(known, { asideUntil, why })
    if (known.isDirty) this.#write(known) // rare, and not to be paid for twice
    return new Date(asideUntil).toISOString()
  }

  of(host: string): HostHealth {
    const { restingUntil = 0, why = null } = this.#hosts.get(host)?.record ?? {}
    const rest = this.#isAhead(restingUntil, longestRestMs) ? restingUntil : 0
    const aside = this.isAside(host) ? (this.#hosts.get(host)?.record.asideUntil ?? 0) : 0
    const until = Math.max(rest, aside)
    const goodput = this.goodput(host)
    return {
      goodput: goodput === undefined ? null : Math.round(goodput),
      restingUntil: until === 0 ? null : new Date(until).toISOString(),
      why: until === 0 ? null : why,
    }
  }

  /** Hosts that something is known of. */
  hosts(): readonly string[] {
    return [...this.#hosts.keys()]
  }

  /** Their silence may have been the link's: who asks next finds out, and a host that is dead none the less rests on for longer. */
  #endRests(hosts: readonly string[]): void {
    for (const name of hosts) {
      const host = this.#hosts.get(name)
      if (host === undefined || host.hasAskedForRest || host.record.restingUntil === 0) continue
      this.#change(host, { restingUntil: 0 })
    }
  }

  #measured(host: Host, bytes: number, ms: number): void {
    const now = this.#clock.now()
    const { record } = host
    const decay = 0.5 ** (Math.max(0, now - record.measuredAt) / halfLifeMs)
    this.#change(host, { bytes: record.bytes * decay + bytes, busyMs: record.busyMs * decay + ms, measuredAt: now })
  }

  /** A time that is further away than any that is ever set comes from a clock that has jumped. */
  #isAhead(until: number, atMost: number): boolean {
    const left = until - this.#clock.now()
    return left > 0 && left <= atMost
  }

  #of(name: string): Host {
    const known = this.#hosts.get(name)
    if (known !== undefined) return known
    const times = { measuredAt: 0, restingUntil: 0, asideUntil: 0, updatedAt: 0 }
    const made: Host = {
      record: { host: name, bytes: 0, busyMs: 0, failures: 0, why: null, ...times },
      watch: new HostWatch(
        this.#clock,
        (bytes, ms) => this.#measured(made, bytes, ms),
        () => this.heard(name),
      ),
      hasAskedForRest: false,
      triedAt: undefined,
      writtenAt: undefined,
      isDirty: false,
    }
    this.#hosts.set(name, made)
    for (const [oldest, { watch }] of this.#hosts) {
      if (this.#hosts.size <= maxHosts) break
      if (watch.isAsked || oldest === name) continue
      this.#hosts.delete(oldest)
      this.#pulse.forget(oldest)
    }
    return made
  }

  #change(host: Host, change: Partial<HealthRecord>): void {
    host.record = { ...host.record, ...change, updatedAt: this.#clock.now() }
    this.#hosts.delete(host.record.host)
    this.#hosts.set(host.record.host, host)
    host.isDirty = this.#rows !== undefined
    if (!host.isDirty) return
    if (host.writtenAt === undefined || this.#clock.monotonic() - host.writtenAt >= writeEveryMs) this.#write(host)
    else this.#callOff ??= this.#clock.after(writeEveryMs, () => this.#writeAll())
  }

  #writeAll(): void {
    this.#callOff = undefined
    for (const host of this.#hosts.values()) if (host.isDirty) this.#write(host)
  }

  /** What can't be written down is known until the next start. */
  #write(host: Host): void {
    host.isDirty = false
    host.writtenAt = this.#clock.monotonic()
    try {
      this.#rows?.put(host.record)
    } catch (error) {
      this.#logger?.warn({ err: error, host: host.record.host }, 'the health of a source was not written down')
    }
  }
}
