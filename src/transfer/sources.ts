/**
 * Where an image's content can be had: the registry that the plan names, then mirrors. Used by resolve, referrers and fetch.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import type { RawManifest } from '../oci/manifest.ts'
import type { ImageRequest } from './engine.ts'
import type { SourceHealth } from './source-health.ts'
import type { UpstreamLedger } from './upstream-ledger.ts'

/** What a transfer asks of an upstream registry. */
export interface Upstream {
  readonly host: string
  resolve(repository: string, tagOrDigest: string, signal: AbortSignal): Promise<Descriptor>
  fetchManifest(repository: string, tagOrDigest: string, signal: AbortSignal): Promise<RawManifest>
  fetchBlob(
    repository: string,
    blob: Descriptor,
    options: { offset: number; signal: AbortSignal },
  ): Promise<{ readonly offset: number; readonly body: AsyncIterable<Uint8Array> }>
  listReferrers(repository: string, digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]>
}

/** One place to ask. */
export interface Source {
  readonly upstream: Upstream
  readonly repository: string
}

/** A registry that stands in for another: a repository's path is appended to `prefix`, which may be empty. */
export interface Mirror {
  readonly host: string
  readonly prefix: string
}

export interface SourcesOptions {
  readonly registries: { get(host: string): Upstream }
  /** Mirrors by the host that they stand in for. */
  readonly mirrors: ReadonlyMap<string, readonly Mirror[]>
  readonly ledger: UpstreamLedger
  readonly logger: Logger
}

export class Sources {
  readonly #options: SourcesOptions

  constructor(options: SourcesOptions) {
    this.#options = options
  }

  /** Every place that may hold the image's content, the plan's own first. */
  of(request: ImageRequest): readonly Source[] {
    const { registry, repository } = request.source
    const configured = (this.#options.mirrors.get(registry) ?? []).map(mirror => ({
      registry: mirror.host,
      repository: mirror.prefix === '' ? repository : `${mirror.prefix}/${repository}`,
    }))
    const places = [{ registry, repository }, ...request.mirrors, ...configured]
    const registries = request.registries ?? this.#options.registries
    const sources = places.map(place => ({ upstream: registries.get(place.registry), repository: place.repository }))
    return [...new Map(sources.toReversed().map(source => [nameOf(source), source])).values()].toReversed()
  }

  get #health(): SourceHealth {
    return this.#options.ledger.health
  }

  /** Takes note of how a host answered. `progressed`: it had sent something before it failed. */
  report(source: Source, error: ImageError | undefined, progressed = false): void {
    const { host } = source.upstream
    if (error === undefined) {
      this.#health.answered(host)
      return
    }
    this.#options.ledger.failed(host, error)
    this.#health.failed(host, error, progressed)
  }

  /**
   * Asks one source after the other until one answers. `note` is told what an operator should know of them.
   * @throws ImageError the first source's: it is the one the plan names, so its answer is the verdict.
   */
  async ask<T>(
    request: ImageRequest,
    signal: AbortSignal,
    question: (source: Source, signal: AbortSignal) => Promise<T>,
    note: (text: string) => void = () => undefined,
  ): Promise<T> {
    let verdict: ImageError | undefined
    for (const source of this.#inTurn(request)) {
      try {
        return await this.#askOne(source, request, signal, question)
      } catch (cause) {
        signal.throwIfAborted()
        const error = toImageError(cause)
        this.#options.logger.debug(
          { host: source.upstream.host, code: error.code, err: error },
          'source did not answer',
        )
        if (error.code === 'DIGEST_MISMATCH') note(this.#putAside(source.upstream.host, error))
        if (verdict === undefined || source.upstream.host === request.source.registry) verdict = error
      }
    }
    throw verdict ?? new ImageError('INTERNAL', 'no source to ask')
  }

  async #askOne<T>(
    source: Source,
    request: ImageRequest,
    signal: AbortSignal,
    question: (source: Source, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { host } = source.upstream
    const mayLeave = () => this.of(request).some(each => each.upstream.host !== host && !this.#isLast(each))
    const attempt = this.#health.begin(host, { measured: false, mayLeave })
    try {
      const answer = await question(source, AbortSignal.any([signal, attempt.signal]))
      this.report(source, undefined)
      return answer
    } catch (cause) {
      signal.throwIfAborted()
      if (attempt.signal.aborted) throw new ImageError('UNAVAILABLE', `${host} did not answer others`, { host })
      const error = toImageError(cause)
      this.report(source, error)
      throw error
    } finally {
      attempt.end()
    }
  }

  /** The plan's own first, those that rest or are put aside last: what a tag is now is for its own registry to say, while that answers. */
  #inTurn(request: ImageRequest): readonly Source[] {
    const sources = this.of(request)
    const isLast = (source: Source, at: number) =>
      at === 0 ? this.#health.rests(source.upstream.host) : this.#isLast(source)
    const last = new Set(sources.filter(isLast))
    return [...sources.filter(source => !last.has(source)), ...last]
  }

  #isLast({ upstream }: Source): boolean {
    return this.#health.rests(upstream.host) || this.#health.isAside(upstream.host)
  }

  /** Gives a note about it. */
  #putAside(host: string, error: ImageError): string {
    const what = `${host} sent a wrong manifest: ${error.message}`
    const until = this.#health.putAside(host, what)
    this.#options.logger.warn({ host, err: error, until }, 'a source sent a wrong manifest; it is asked last meanwhile')
    return `${what}; other sources are preferred until ${until}`
  }
}

/** The source's name: its host and repository. */
export function nameOf(source: Source): string {
  return `${source.upstream.host}/${source.repository}`
}
