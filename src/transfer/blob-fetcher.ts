/**
 * One blob from upstream into its ingest: one transfer per digest however many want it, resumed at the byte where it stopped,
 * from whichever source goes on. Used by fetch.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { backoffMs } from '../oci/backoff.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import type { DiskRoom } from './disk-room.ts'
import type { FetchOptions, ImageRequest } from './engine.ts'
import type { Link } from './link/link.ts'
import { LinkClosed, soonest } from './link/obstacle.ts'
import type { LinkPass } from './link/pass.ts'
import type { Ingest, LocalRegistry } from './local.ts'
import { GiveWay, type Slot, type Slots } from './slots.ts'
import { type Attempt, SourceLeft } from './source-attempt.ts'
import { SourceChoice } from './source-choice.ts'
import { nameOf, type Source, type Sources } from './sources.ts'
import type { UpstreamLedger } from './upstream-ledger.ts'
import { mostUrgent } from './urgency.ts'

export interface BlobFetcherOptions {
  readonly local: LocalRegistry
  readonly sources: Sources
  readonly slots: Slots
  readonly link: Link
  readonly room: DiskRoom
  readonly ledger: UpstreamLedger
  readonly logger: Logger
  /** Waits between tries within one call. Longer ones are for the plan's own retry. Default 250 ms to 8 s. */
  readonly backoff?: { readonly firstMs: number; readonly maxMs: number }
}

/** Tries in a row that brought no byte before the plan is told. */
const maxFailures = 5
/** So many where the source sent content a moment ago: through a short outage, and on at once when the link is back. */
const maxFailuresInOutage = 40
const longestWaitInOutageMs = 1_000
/** A connection that brought so many bytes before it broke is followed by another at once, so that a link that cuts often is used to the full. */
const worthwhileBytes = 64 * 1024
/** A wait that a registry asks for beyond this is left to the plan, which gives up its place in the queue meanwhile. */
const longestWaitMs = 15_000

interface SharedFetch {
  readonly blob: Descriptor
  /** Who wants it, and from where: each brings its own sources along, so that a fault of one plan's registry is not another's. */
  readonly waiters: Map<FetchOptions, ImageRequest>
  readonly controller: AbortController
  /** Set where it is made: settles when the blob is here, with notes for the operator, or given up. */
  done: Promise<readonly string[]>
}

type Try =
  | { readonly outcome: 'done' }
  /** Stopped without a fault: for a more urgent blob, or because the link closed; or what was here was not the blob. */
  | { readonly outcome: 'gave way' }
  | { readonly outcome: 'failed'; readonly error: ImageError; readonly source: Source; readonly gained: number }

/** What one try may use, and what ends it. */
interface Turn {
  readonly signal: AbortSignal
  readonly slot: Slot
  readonly pass: LinkPass
  readonly choice: SourceChoice
  readonly attempt: Attempt
}

export class BlobFetcher {
  readonly #options: BlobFetcherOptions
  readonly #inFlight = new Map<Digest, SharedFetch>()

  constructor(options: BlobFetcherOptions) {
    this.#options = options
  }

  /**
   * Brings the blob to the local side, verified. Who asks for a digest that is on its way joins that transfer; it ends when the
   * last of them has aborted. A failure is forgotten: the next caller tries again.
   * Gives what an operator should know of the sources.
   * @throws ImageError the last try's; LinkClosed when the link is closed to everyone who wants the blob.
   */
  async fetch(blob: Descriptor, request: ImageRequest, options: FetchOptions): Promise<readonly string[]> {
    const shared = await this.#join(blob, request, options)
    const aborted = Promise.withResolvers<never>()
    const leave = () => {
      shared.waiters.delete(options)
      if (shared.waiters.size === 0) shared.controller.abort(options.signal.reason)
      aborted.reject(options.signal.reason)
    }
    options.signal.addEventListener('abort', leave, { once: true })
    if (options.signal.aborted) leave() // since it joined: nobody would hear of it any more
    try {
      return await Promise.race([shared.done, aborted.promise])
    } finally {
      options.signal.removeEventListener('abort', leave)
      shared.waiters.delete(options)
    }
  }

  /** Resolves when no transfer holds a file any more: after every caller has aborted, at the agent's stop. */
  async settle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled([...this.#inFlight.values()].map(shared => shared.done))
  }

  /** The transfer of that digest, with this caller in it. One that is being given up is waited for: it still holds the file. */
  async #join(blob: Descriptor, request: ImageRequest, options: FetchOptions): Promise<SharedFetch> {
    for (;;) {
      options.signal.throwIfAborted()
      const shared = this.#inFlight.get(blob.digest) ?? this.#begin(blob)
      if (!shared.controller.signal.aborted) {
        shared.waiters.set(options, request)
        return shared
      }
      await shared.done.catch(() => undefined)
    }
  }

  #begin(blob: Descriptor): SharedFetch {
    const shared: SharedFetch = {
      blob,
      waiters: new Map(),
      controller: new AbortController(),
      done: Promise.resolve([]),
    }
    this.#inFlight.set(blob.digest, shared)
    // The transfer starts in the next microtask, when its first waiter has joined.
    shared.done = Promise.resolve()
      .then(() => this.#transfer(shared))
      .finally(() => this.#inFlight.delete(blob.digest))
    shared.done.catch(() => undefined) // each waiter gets the failure through its own race
    return shared
  }

  async #transfer(shared: SharedFetch): Promise<readonly string[]> {
    const { ledger, logger } = this.#options
    const { signal } = shared.controller
    const choice = new SourceChoice({ blob: shared.blob, health: ledger.health, logger })
    let failures = 0
    for (;;) {
      if (!this.#hasArrived(shared)) this.#passable(shared)
      const tried = await this.#try(shared, choice)
      if (tried.outcome === 'done') return choice.notes
      signal.throwIfAborted()
      if (tried.outcome === 'gave way') continue
      const { error, source, gained } = tried
      for (const waiter of shared.waiters.keys()) waiter.progress?.retried?.(shared.blob, error)
      if (error.side === 'local') throw error
      failures = gained > 0 ? 1 : failures + 1
      const sources = this.#sourcesOf(shared)
      // Who says that it is asked too often is there, and would be asked the more
      const isOutage = error.code !== 'TOOMANYREQUESTS' && ledger.health.isLost(source.upstream.host)
      const isEnough = failures >= (isOutage ? maxFailuresInOutage : maxFailures)
      if (choice.failed(source, error, sources) || isEnough) throw error
      const wished = choice.hasOther(source, sources) ? 0 : (error.retryAfterMs ?? 0)
      const wait = Math.max(gained >= worthwhileBytes ? 0 : this.#wait(failures, isOutage), wished)
      if (wait > longestWaitMs) throw error
      logger.debug({ err: error, digest: shared.blob.digest, wait }, 'blob is tried again')
      await sleep(wait, undefined, { signal })
    }
  }

  #sourcesOf(shared: SharedFetch): readonly Source[] {
    const sources = [...shared.waiters.values()].flatMap(request => this.#options.sources.of(request))
    return [...new Map(sources.map(source => [nameOf(source), source])).values()]
  }

  /** Those that may send now. @throws LinkClosed when there are none. */
  #passable(shared: SharedFetch): readonly Source[] {
    const { link } = this.#options
    const sources = this.#sourcesOf(shared)
    const waiters = [...shared.waiters.keys()]
    const isOpen = ({ upstream }: Source) => waiters.some(waiter => !link.obstacle(waiter, [upstream.host]))
    const passable = sources.filter(isOpen)
    const hosts = sources.map(source => source.upstream.host)
    const obstacle = passable.length > 0 ? undefined : soonest(waiters.map(waiter => link.obstacle(waiter, hosts)))
    if (obstacle) throw new LinkClosed(obstacle)
    return passable
  }

  #wait(failures: number, isOutage: boolean): number {
    const { firstMs, maxMs } = this.#options.backoff ?? { firstMs: 250, maxMs: 8_000 }
    return backoffMs(failures, { firstMs, maxMs: isOutage ? Math.min(maxMs, longestWaitInOutageMs) : maxMs })
  }

  /** One connection's worth: waits for its turn, then moves bytes until the blob is complete, the source fails or a more urgent one needs the turn. */
  async #try(shared: SharedFetch, choice: SourceChoice): Promise<Try> {
    const slot = await this.#options.slots.acquire(() => mostUrgent(shared.waiters.keys()), shared.controller.signal)
    try {
      if (this.#hasArrived(shared)) return await this.#complete(shared, slot)
      // Chosen only now: while it waited for its turn, others have found out which sources are worth it.
      const passable = this.#passable(shared)
      const source = choice.next(passable)
      const isOwnPace = [...shared.waiters.keys()].every(waiter => waiter.limits?.maxRate !== undefined)
      const attempt = choice.begin(source, passable, { measured: !isOwnPace })
      return await this.#tryFrom(shared, source, { slot, choice, attempt }).finally(() => attempt.end())
    } finally {
      slot.release()
    }
  }

  /** Whether an earlier transfer has left all of the blob: then it needs nothing of the link, however closed that is. */
  #hasArrived({ blob }: SharedFetch): boolean {
    return blob.size > 0 && this.#options.local.arrived(blob) === blob.size
  }

  /** Verifies what has arrived and puts it in place. Where it is not the blob it is gone, and the next try fetches that. */
  async #complete(shared: SharedFetch, slot: Slot): Promise<Try> {
    const { ledger, logger } = this.#options
    const { blob, controller, waiters } = shared
    const signal = AbortSignal.any([controller.signal, slot.signal])
    try {
      const ingest = await this.#openIngest(shared, signal)
      try {
        if (ingest.offset < blob.size) return { outcome: 'gave way' }
        const [first] = waiters.keys()
        first?.progress?.resumed?.(ingest.offset, blob)
        slot.release()
        await ingest.commit()
      } finally {
        await ingest.close()
      }
      ledger.blobFetched()
      return { outcome: 'done' }
    } catch (error) {
      const isWrong = toImageError(error).code === 'DIGEST_MISMATCH'
      if (isWrong) logger.warn({ err: error, digest: blob.digest }, 'what an earlier transfer left is fetched anew')
      if (!isWrong && !isPause(signal.reason)) throw error
      return { outcome: 'gave way' }
    }
  }

  async #tryFrom(
    shared: SharedFetch,
    source: Source,
    { slot, choice, attempt }: { slot: Slot; choice: SourceChoice; attempt: Attempt },
  ): Promise<Try> {
    const pass = this.#options.link.enter(source.upstream.host, () => shared.waiters.keys())
    const signal = AbortSignal.any([shared.controller.signal, slot.signal, pass.signal, attempt.signal])
    const before = { bytes: 0 }
    try {
      await this.#move(shared, source, { signal, slot, pass, choice, attempt }, before)
      this.#options.sources.report(source, undefined)
      choice.succeeded(source)
      this.#options.ledger.blobFetched()
      return { outcome: 'done' }
    } catch (cause) {
      const error = describe(toImageError(cause), shared.blob, source)
      const isPaused = isPause(signal.reason) && !shared.controller.signal.aborted
      // Wrong content is told even so: it is gone, and somebody sent it.
      if (isPaused && error.code !== 'DIGEST_MISMATCH') return { outcome: 'gave way' }
      if (error.side !== 'local') this.#options.sources.report(source, error, before.bytes > 0)
      return { outcome: 'failed', error, source, gained: before.bytes }
    } finally {
      pass.leave()
    }
  }

  async #move(shared: SharedFetch, source: Source, turn: Turn, count: { bytes: number }): Promise<void> {
    const { blob } = shared
    turn.signal.throwIfAborted()
    const ingest = await this.#open(shared, source, turn)
    try {
      turn.choice.found(ingest.offset)
      const [first] = shared.waiters.keys()
      first?.progress?.resumed?.(ingest.offset, blob)
      if (ingest.offset < blob.size) await this.#receiveRest(ingest, shared, source, turn, count)
      shared.controller.signal.throwIfAborted()
      // The next one's bytes come while the disk makes sure of these.
      turn.slot.release()
      turn.attempt.end()
      await ingest.commit()
    } finally {
      await ingest.close()
    }
  }

  async #openIngest({ blob, waiters, controller }: SharedFetch, signal: AbortSignal): Promise<Ingest> {
    const [first] = waiters.values()
    const options = { repository: first?.target.repository, signal, transfer: controller.signal }
    return await this.#options.local.openIngest(blob, options)
  }

  async #open(shared: SharedFetch, source: Source, { choice, signal }: Turn): Promise<Ingest> {
    const ingest = await this.#openIngest(shared, signal)
    if (!choice.wantsAnew(source) || ingest.offset === 0) return ingest
    try {
      await ingest.discard()
    } finally {
      await ingest.close()
    }
    return await this.#openIngest(shared, signal)
  }

  /** Complete is complete, though the turn or the link's leave has ended with the last byte. */
  async #receiveRest(ingest: Ingest, shared: SharedFetch, source: Source, turn: Turn, count: { bytes: number }) {
    try {
      await this.#receive(ingest, shared, source, turn, count)
    } catch (error) {
      if (!isPause(turn.signal.reason) || ingest.offset < shared.blob.size) throw error
    }
  }

  async #receive(
    ingest: Ingest,
    shared: SharedFetch,
    { upstream, repository }: Source,
    { signal, pass, choice, attempt }: Turn,
    count: { bytes: number },
  ): Promise<void> {
    const room = await this.#options.room.claim(shared.blob.size - ingest.offset)
    try {
      const { offset, body } = await upstream.fetchBlob(repository, shared.blob, { offset: ingest.offset, signal })
      // A source that ignores Range starts anew: what is here already passes by unwritten, and the digest has the last word.
      let skip = ingest.offset - offset
      for await (const chunk of body) {
        const [payer] = shared.waiters.keys()
        payer?.progress?.received?.(upstream.host, chunk.byteLength, shared.blob)
        this.#options.ledger.received(upstream.host, chunk.byteLength)
        attempt.received(chunk.byteLength)
        if (skip < chunk.byteLength) {
          choice.took(upstream.host)
          await ingest.write(skip > 0 ? chunk.subarray(skip) : chunk)
          count.bytes += chunk.byteLength - skip
          room.filled(chunk.byteLength - skip)
        }
        skip = Math.max(0, skip - chunk.byteLength)
        await pass.pace(chunk.byteLength, signal)
      }
    } finally {
      room.release()
    }
  }
}

/** Whether a try was stopped for a reason that is no fault. */
function isPause(reason: unknown): boolean {
  return reason instanceof GiveWay || reason instanceof LinkClosed || reason instanceof SourceLeft
}

function describe(error: ImageError, blob: Descriptor, source: Source): ImageError {
  if (error.doing !== undefined && error.host !== undefined) return error
  const doing = `fetch blob ${shortDigest(blob.digest)} of ${source.upstream.host}/${source.repository}`
  const { cause, retryAfterMs, hint, side = 'upstream', host = source.upstream.host } = error
  return new ImageError(error.code, error.message, { cause, doing, side, host, retryAfterMs, hint })
}
