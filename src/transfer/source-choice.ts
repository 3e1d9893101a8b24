/**
 * Which source the next try for one blob goes to, and who is to blame when its content is wrong. One lives for one transfer of a blob.
 * Used by blob-fetcher.ts.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { shortDigest } from '../oci/digest.ts'
import { type ErrorCode, ImageError } from '../oci/errors.ts'
import type { Attempt } from './source-attempt.ts'
import type { SourceHealth } from './source-health.ts'
import { nameOf, type Source } from './sources.ts'

/** Another source has to be so much faster to be taken in place of one that stands before it. */
const worthwhile = 1.25
/** A smaller blob is over before a trial tells anything. Bytes. */
const leastTrialBytes = 1024 * 1024
/** In search of a liar, one source is asked so often before the blob is begun anew from another. */
const patience = 3
/** Wrong content that is paid for in one call, whatever the number of sources. */
const maxWrong = 4

/** Bytes that an earlier call or process left: nobody remembers from whom. */
const unknownHost = ''

export interface SourceChoiceOptions {
  readonly blob: Descriptor
  readonly health: SourceHealth
  readonly logger: Logger
}

export class SourceChoice {
  /** What an operator should know, when this ends well. */
  readonly notes: string[] = []
  readonly #blob: Descriptor
  readonly #health: SourceHealth
  readonly #logger: Logger
  readonly #failures = new Map<string, number>()
  /** Those that say for good that they don't have it, or that sent wrong bytes all by themselves; with their codes. */
  readonly #useless = new Map<string, ErrorCode>()
  #wrong = 0
  /** The hosts that brought what is on disk. */
  readonly #givers = new Set<string>()
  /** Set while the blob is fetched anew from one source, because several had brought wrong content together. */
  #suspects: ReadonlySet<string> | undefined
  /** Its name. */
  #alone: string | undefined

  constructor(options: SourceChoiceOptions) {
    this.#blob = options.blob
    this.#health = options.health
    this.#logger = options.logger
  }

  /**
   * The source for the next try.
   * @throws ImageError `UNAVAILABLE` when those that may have the blob rest, and the others have said that they don't.
   */
  next(sources: readonly Source[]): Source {
    const alone = sources.find(each => nameOf(each) === this.#alone)
    if (alone !== undefined && this.#failedOf(alone) < patience && !this.#useless.has(nameOf(alone))) return alone
    const chosen = this.#best(sources)
    if (this.#suspects !== undefined) this.#alone = nameOf(chosen)
    return chosen
  }

  /** A try begins. `sources` are those that may be asked in its place; not `measured` is what our own limits hold back. */
  begin(source: Source, sources: readonly Source[], { measured }: { measured: boolean }): Attempt {
    const { host } = source.upstream
    const others = sources.filter(each => each.upstream.host !== host && !this.#useless.has(nameOf(each)))
    const better = () => others.some(each => this.#isFit(each) && this.#isFaster(each.upstream.host, host))
    const over = (received: number) => {
      if (received === 0 && others.some(each => this.#isFit(each))) {
        this.#health.failed(host, new ImageError('TIMEOUT', 'nothing came while it was tried out'))
        return true
      }
      return better()
    }
    const isTrial = measured && this.#mayTry && this.#isTrialOf(source, others)
    return this.#health.begin(host, {
      measured,
      mayLeave: () => others.some(each => this.#isFit(each)),
      ...(isTrial ? { trial: { over } } : {}),
    })
  }

  /** Whether what is on disk has to go before this source goes on: it came from others, and who of them lied is to be found out. */
  wantsAnew(source: Source): boolean {
    if (this.#suspects === undefined) return false
    return [...this.#givers].some(host => host !== source.upstream.host)
  }

  /** A try found so many bytes on disk. */
  found(offset: number): void {
    if (offset === 0) this.#givers.clear()
    else if (this.#givers.size === 0) this.#givers.add(unknownHost)
  }

  /** Bytes from the host went to the disk. */
  took(host: string): void {
    this.#givers.add(host)
  }

  /** The blob is here and right: if one source was asked alone, the one other that had a part in the wrong content has lied. */
  succeeded(source: Source): void {
    const [other, ...more] = [...(this.#suspects ?? [])].filter(host => host !== source.upstream.host)
    if (other !== undefined && other !== unknownHost && more.length === 0) this.#blame(other)
  }

  /** Takes note of a failure. Gives whether another try is hopeless. */
  failed(source: Source, error: ImageError, sources: readonly Source[]): boolean {
    this.#failures.set(nameOf(source), this.#failedOf(source) + 1)
    if (error.code === 'DIGEST_MISMATCH') this.#findLiar(source)
    else if (!error.transient && error.code !== 'TLS') this.#useless.set(nameOf(source), error.code)
    if (isContentError(error)) return ++this.#wrong >= (sources.length < 2 ? 2 : Math.min(maxWrong, sources.length + 1))
    return !error.transient && sources.every(each => this.#failures.has(nameOf(each)))
  }

  /** Whether another source can be asked at once, without waiting for this one. */
  hasOther(source: Source, sources: readonly Source[]): boolean {
    const isOther = (each: Source) => each.upstream.host !== source.upstream.host && !this.#useless.has(nameOf(each))
    return sources.some(each => isOther(each) && this.#isFit(each))
  }

  #findLiar(source: Source): void {
    const { host } = source.upstream
    const isAlone = this.#givers.size > 0 && [...this.#givers].every(giver => giver === host)
    if (isAlone) {
      this.#blame(host)
      this.#useless.set(nameOf(source), 'DIGEST_MISMATCH')
    } else {
      this.#suspects = new Set(this.#givers)
      this.#failures.clear()
    }
    this.#givers.clear()
    this.#alone = undefined
  }

  #blame(host: string): void {
    const what = `${host} sent content that is not ${shortDigest(this.#blob.digest)}`
    const until = this.#health.putAside(host, what)
    const { digest } = this.#blob
    this.#logger.warn(
      { host, digest, until },
      'a source sent wrong content; its blobs are fetched from others meanwhile',
    )
    this.notes.push(`${what}; other sources are preferred until ${until}`)
  }

  #best(sources: readonly Source[]): Source {
    const useful = orAll(sources, each => !this.#useless.has(nameOf(each)))
    const trusted = orAll(useful, each => !this.#health.isAside(each.upstream.host))
    const awake = trusted.filter(each => !this.#health.rests(each.upstream.host))
    if (awake.length === 0 && useful.length < sources.length) this.#refuseToWait(trusted)
    const candidates = awake.length > 0 ? awake : trusted
    const fewest = Math.min(...candidates.map(each => this.#failedOf(each)))
    const fresh = candidates.filter(each => this.#failedOf(each) === fewest)
    const tried = this.#mayTry && awake.length > 0 ? fresh.find(each => this.#isTrialOf(each, fresh)) : undefined
    const chosen = tried ?? this.#fastest(fresh)
    if (!chosen) throw new ImageError('INTERNAL', 'no source to fetch from')
    return chosen
  }

  /** A host that is known not to answer is not worth a time-out for each blob that only it can have. */
  #refuseToWait(resting: readonly Source[]): void {
    const waits = resting.map(each => this.#health.restLeft(each.upstream.host)).filter(ms => ms > 0)
    const [first] = resting
    if (first === undefined || waits.length === 0) return
    const { host } = first.upstream
    const why = this.#health.of(host).why ?? 'it failed a moment ago'
    const others = [...this.#useless].map(([name, code]) => `${name}: ${code}`).join(', ')
    throw new ImageError('UNAVAILABLE', `${others}; ${host} may have the blob but rests now: ${why}`, {
      side: 'upstream',
      doing: `fetch blob ${shortDigest(this.#blob.digest)}`,
      host,
      retryAfterMs: Math.min(...waits),
    })
  }

  /** The first that no other is much faster than; one that was never measured keeps its place at the head and no other. */
  #fastest(sources: readonly Source[]): Source | undefined {
    const [first] = sources
    if (first === undefined || this.#health.goodput(first.upstream.host) === undefined) return first
    const most = Math.max(...sources.map(each => this.#health.goodput(each.upstream.host) ?? 0))
    return sources.find(each => (this.#health.goodput(each.upstream.host) ?? 0) * worthwhile >= most)
  }

  get #mayTry(): boolean {
    return this.#blob.size >= leastTrialBytes && this.#failures.size === 0 && this.#suspects === undefined
  }

  /** Whether this one is to be measured while another is there to fall back to, whose speed is known. */
  #isTrialOf(source: Source, sources: readonly Source[]): boolean {
    const { host } = source.upstream
    const isKnown = (each: Source) =>
      each.upstream.host !== host && this.#isFit(each) && this.#health.goodput(each.upstream.host) !== undefined
    return this.#health.wantsTrial(host) && sources.some(isKnown)
  }

  #isFit(source: Source): boolean {
    return !this.#health.rests(source.upstream.host) && !this.#health.isAside(source.upstream.host)
  }

  #isFaster(one: string, other: string): boolean {
    return (this.#health.goodput(one) ?? 0) > (this.#health.goodput(other) ?? 0) * worthwhile
  }

  #failedOf(source: Source): number {
    return this.#failures.get(nameOf(source)) ?? 0
  }
}

function isContentError(error: ImageError): boolean {
  return error.code === 'DIGEST_MISMATCH' || error.code === 'SIZE_MISMATCH'
}

/** Those that match, or all where none does. */
function orAll(sources: readonly Source[], matches: (source: Source) => boolean): readonly Source[] {
  const matching = sources.filter(matches)
  return matching.length > 0 ? matching : sources
}
