/**
 * Reads everything that is stored again, slowly, and compares it with its digest. What is damaged goes out of sight and is fetched again
 * from where it came. The position is kept, so that a restart goes on. For the embedded registry alone. Used by lifecycle.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Audit } from '../../access/audit.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Damage, ScrubRound, ScrubRows } from '../../state/scrubs.ts'
import type { Upkeep } from '../../store/upkeep.ts'

export interface ScrubOptions {
  readonly upkeep: Pick<Upkeep, 'contentAfter' | 'check' | 'isReferenced'>
  readonly rows: ScrubRows
  /** Brings content again; throws when nobody offers it. */
  readonly repair: (digest: Digest, signal: AbortSignal) => Promise<void>
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
  /** Bytes per second that are read. */
  readonly bytesPerSecond: number
  /** Milliseconds from the beginning of a round to that of the next. */
  readonly everyMs: number
  /** Epoch milliseconds. */
  readonly now: () => number
}

export interface ScrubStatus {
  readonly round: ScrubRound | undefined
  /** What is not whole again yet. */
  readonly damaged: readonly Damage[]
  /** Since the start of the process. */
  readonly found: number
  readonly repaired: number
}

const batchSize = 64
/** Reading is slowed down in steps of this length, so that a disk is not woken for every chunk. */
const paceMs = 100
/** The position is written at most so often; a kill costs so much reading again. */
const saveEveryMs = 10_000

export class Scrub {
  readonly #options: ScrubOptions
  #found = 0
  #repaired = 0

  constructor(options: ScrubOptions) {
    this.#options = options
  }

  status(): ScrubStatus {
    const { rows } = this.#options
    return { round: rows.round(), damaged: rows.damages(), found: this.#found, repaired: this.#repaired }
  }

  /** Milliseconds until there is something to do. */
  dueIn(): number {
    const round = this.#options.rows.round()
    if (round === undefined || round.finishedAt === null) return 0
    return Math.max(0, round.startedAt + this.#options.everyMs - this.#options.now())
  }

  /** Tries once more what could not be fetched again; then goes on with the round that was begun, or begins one. */
  async run(signal: AbortSignal): Promise<ScrubRound> {
    const { rows, now } = this.#options
    await this.repairAll(signal)
    const last = rows.round()
    const fresh = { position: '', startedAt: now(), finishedAt: null, checked: 0, checkedBytes: 0, damaged: 0 }
    const round: Writable<ScrubRound> = last?.finishedAt === null ? { ...last } : fresh
    rows.setRound(round)
    try {
      await this.#walk(round, signal)
      round.finishedAt = now()
    } finally {
      rows.setRound(round)
    }
    this.#options.logger.info({ ...round, position: undefined }, 'scrub ended: everything stored was read')
    return round
  }

  /** Tries to fetch again what is damaged. */
  async repairAll(signal: AbortSignal): Promise<void> {
    for (const { digest } of this.#options.rows.damages()) await this.#repair(digest, signal)
  }

  async #walk(round: Writable<ScrubRound>, signal: AbortSignal): Promise<void> {
    const { upkeep, rows } = this.#options
    const pace = new Pace(this.#options.bytesPerSecond, signal)
    let savedAt = performance.now()
    for (;;) {
      const batch = upkeep.contentAfter(round.position, batchSize)
      if (batch.length === 0) return
      for (const { digest, size } of batch) {
        signal.throwIfAborted()
        await this.#check(digest, round, pace, signal)
        round.position = digest
        round.checked += 1
        round.checkedBytes += size
        if (performance.now() - savedAt < saveEveryMs) continue
        rows.setRound(round)
        savedAt = performance.now()
      }
    }
  }

  async #check(digest: Digest, round: Writable<ScrubRound>, pace: Pace, signal: AbortSignal): Promise<void> {
    const { upkeep, rows, logger, now } = this.#options
    const check = await upkeep.check(digest, { pace: bytes => pace.spend(bytes), signal })
    if (check === 'intact') return
    round.damaged += 1
    this.#found += 1
    rows.addDamage(digest, check, now())
    logger.error({ digest, problem: check }, 'stored content is not what it was; it is fetched again')
    this.#record(digest, 'failure', check)
    await this.#repair(digest, signal)
  }

  async #repair(digest: Digest, signal: AbortSignal): Promise<void> {
    const { upkeep, rows, repair, logger, now } = this.#options
    try {
      const wanted = upkeep.isReferenced(digest)
      if (wanted) await repair(digest, signal)
      rows.removeDamage(digest)
      if (!wanted) return // collected since
      this.#repaired += 1
      logger.info({ digest }, 'damaged content is whole again')
      this.#record(digest, 'success', 'fetched again')
    } catch (error) {
      signal.throwIfAborted()
      const message = error instanceof Error ? error.message : String(error)
      rows.setTried(digest, now(), message.slice(0, 500))
      logger.error(
        { digest, err: error },
        'damaged content could not be fetched again; it is tried with the next round',
      )
    }
  }

  #record(digest: Digest, outcome: 'success' | 'failure', reason: string): void {
    this.#options.audit.record({
      who: 'system',
      action: 'images:delete',
      object: { kind: 'Blob', name: digest },
      outcome,
      detail: { reason: `scrub: ${reason}`, digest },
    })
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Lets so many bytes a second pass, without ever saving up for a burst. */
class Pace {
  readonly #bytesPerMs: number
  readonly #signal: AbortSignal
  #freeAt = performance.now()

  constructor(bytesPerSecond: number, signal: AbortSignal) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#signal = signal
  }

  async spend(bytes: number): Promise<void> {
    const now = performance.now()
    this.#freeAt = Math.max(this.#freeAt, now - paceMs) + bytes / this.#bytesPerMs
    const wait = this.#freeAt - now
    if (wait > paceMs) await sleep(wait, undefined, { signal: this.#signal })
  }
}
