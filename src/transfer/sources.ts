/**
 * Where an image's content can be had: the registry that the plan names, then mirrors. Used by resolve, referrers and fetch.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import type { RawManifest } from '../oci/manifest.ts'
import type { ImageRequest } from './engine.ts'
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

/** How long a host that did not answer is asked last, so that a dead one costs one time-out and not one a blob. */
const restMs = 60_000

export class Sources {
  readonly #options: SourcesOptions
  /** Host to the monotonic time until which it rests. At most one entry per known host. */
  readonly #resting = new Map<string, number>()

  constructor(options: SourcesOptions) {
    this.#options = options
  }

  /** Every place that may hold the image's content, the plan's own first, resting hosts last. */
  of(request: ImageRequest): readonly Source[] {
    const { registry, repository } = request.source
    const configured = (this.#options.mirrors.get(registry) ?? []).map(mirror => ({
      registry: mirror.host,
      repository: mirror.prefix === '' ? repository : `${mirror.prefix}/${repository}`,
    }))
    const places = [{ registry, repository }, ...request.mirrors, ...configured]
    const registries = request.registries ?? this.#options.registries
    return this.#byHealth(
      places.map(place => ({ upstream: registries.get(place.registry), repository: place.repository })),
    )
  }

  /** The same sources, those that rest at the end. */
  #byHealth(sources: readonly Source[]): readonly Source[] {
    const now = performance.now()
    const rests = (source: Source) => (this.#resting.get(source.upstream.host) ?? 0) > now
    return [...sources.filter(source => !rests(source)), ...sources.filter(rests)]
  }

  /** Takes note of how a host answered. */
  report(source: Source, error: ImageError | undefined): void {
    const { host } = source.upstream
    if (error === undefined) {
      this.#resting.delete(host)
      return
    }
    this.#options.ledger.failed(host, error)
    if (['UNAVAILABLE', 'TIMEOUT', 'STALLED', 'DNS', 'TLS'].includes(error.code)) {
      this.#resting.set(host, performance.now() + restMs)
    }
  }

  /**
   * Asks one source after the other until one answers.
   * @throws ImageError the first source's: it is the one the plan names, so its answer is the verdict.
   */
  async ask<T>(request: ImageRequest, signal: AbortSignal, question: (source: Source) => Promise<T>): Promise<T> {
    let verdict: ImageError | undefined
    for (const source of this.of(request)) {
      try {
        const answer = await question(source)
        this.report(source, undefined)
        return answer
      } catch (cause) {
        signal.throwIfAborted()
        const error = toImageError(cause)
        this.report(source, error)
        this.#options.logger.debug(
          { host: source.upstream.host, code: error.code, err: error },
          'source did not answer',
        )
        if (verdict === undefined || source.upstream.host === request.source.registry) verdict = error
      }
    }
    throw verdict ?? new ImageError('INTERNAL', 'no source to ask')
  }
}
