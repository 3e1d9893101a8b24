/**
 * The providers that sources may name: the built-in ones and a site's own. Every call of an adapter is bounded in time, what it throws
 * becomes an ImageError, and what it answers is checked. Used by Sources.
 */
import { pathToFileURL } from 'node:url'
import type { Logger } from 'pino'
import type { Static, TSchema } from 'typebox'
import { Check } from 'typebox/value'
import { ImageError } from '../oci/errors.ts'
import { isRegistryHost, isRepository, isTag } from '../oci/reference.ts'
import { aliyun } from './providers/aliyun.ts'
import { dockerhub } from './providers/dockerhub.ts'
import { harbor } from './providers/harbor.ts'
import { listCatalog, listPlainTags, other } from './providers/other.ts'
import {
  type NameQuery,
  NamesShape,
  NotesShape,
  type Provider,
  type ProviderHost,
  ProviderShape,
  type SourceTag,
  TagsShape,
} from './providers/provider.ts'

export interface ProvidersOptions {
  readonly logger: Logger
  /** For one call of an adapter, and for loading one. Default 30 s. */
  readonly timeoutMs?: number
}

export class Providers {
  readonly #options: Required<ProvidersOptions>
  readonly #known: Map<string, Provider>

  constructor(options: ProvidersOptions) {
    this.#options = { timeoutMs: 30_000, ...options }
    this.#known = new Map([harbor, dockerhub, aliyun, other].map(provider => [provider.name, provider]))
  }

  get names(): readonly string[] {
    return [...this.#known.keys()]
  }

  /** Loads a site's adapters. One that can't be used is logged and left out: the site's other sources must go on. */
  async load(files: readonly string[]): Promise<void> {
    for (const file of files) {
      try {
        const provider = await this.#load(file)
        this.#known.set(provider.name, provider)
        this.#options.logger.info({ file, provider: provider.name }, 'provider loaded')
      } catch (error) {
        this.#options.logger.error({ file, err: error }, 'a provider can not be used; sources that name it will fail')
      }
    }
  }

  /** The provider of that name; undefined when it was never known, or could not be loaded this time. */
  find(name: string): BoundedProvider | undefined {
    const provider = this.#known.get(name)
    return provider && new BoundedProvider(provider, this.#options.timeoutMs)
  }

  async #load(file: string): Promise<Provider> {
    const loaded: unknown = await within(
      this.#options.timeoutMs,
      new AbortController(),
      () => import(pathToFileURL(file).href),
    )
    const provider = typeof loaded === 'object' && loaded !== null && 'provider' in loaded ? loaded.provider : undefined
    if (!isProvider(provider)) {
      throw new Error('expected an export `provider` with a name ([a-z0-9-]) and functions of the provider interface')
    }
    if (this.#known.has(provider.name)) throw new Error(`there is a provider "${provider.name}" already`)
    return provider
  }
}

/** A provider whose every answer can be relied on. */
export class BoundedProvider {
  readonly name: string
  readonly #provider: Provider
  readonly #timeoutMs: number

  constructor(provider: Provider, timeoutMs: number) {
    this.name = provider.name
    this.#provider = provider
    this.#timeoutMs = timeoutMs
  }

  /** Where requests go. */
  registryHost(domain: string): string {
    return this.#text(() => this.#provider.registryHost?.(domain), isRegistryHost) ?? domain
  }

  /** The path as the source has it. */
  sourcePath(path: string): string {
    return this.#text(() => this.#provider.sourcePath?.(path), isRepository) ?? path
  }

  checkPath(path: string): string | undefined {
    return this.#text(() => this.#provider.checkPath?.(path), isNote)
  }

  advise(domain: string): string | undefined {
    return this.#text(() => this.#provider.advise?.(domain), isNote)
  }

  async inspect(host: ProviderHost, signal: AbortSignal): Promise<readonly string[]> {
    return await this.#call(NotesShape, signal, bounded => this.#provider.inspect?.(host, bounded) ?? none())
  }

  /** At most `limit` paths; what isn't a path is left out. */
  async listRepositories(host: ProviderHost, query: NameQuery): Promise<readonly string[]> {
    const list = this.#provider.listRepositories?.bind(this.#provider) ?? listCatalog
    const found = await this.#call(NamesShape, query.signal, signal => list(host, { ...query, signal }))
    return found.filter(isRepository).slice(0, query.limit)
  }

  /** At most `limit` tags. */
  async listTags(host: ProviderHost, path: string, query: NameQuery): Promise<readonly SourceTag[]> {
    const list = this.#provider.listTags?.bind(this.#provider) ?? listPlainTags
    const found = await this.#call(TagsShape, query.signal, signal => list(host, path, { ...query, signal }))
    return found.filter(({ tag }) => isTag(tag)).slice(0, query.limit)
  }

  #text(ask: () => unknown, right: (text: string) => boolean): string | undefined {
    try {
      const text = ask()
      return typeof text === 'string' && right(text) ? text : undefined
    } catch {
      return undefined // as if it had nothing to say
    }
  }

  /** @throws ImageError its own, `TIMEOUT`, or `UNSUPPORTED` for an adapter that throws or answers with something else; the signal's reason. */
  async #call<Shape extends TSchema>(
    shape: Shape,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<Static<Shape>> {
    const late = new AbortController()
    try {
      const answer = await within(this.#timeoutMs, late, bounded => work(bounded), signal)
      if (Check(shape, answer)) return answer
      throw new Error('its answer does not have the form of the interface')
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof ImageError) throw cause
      const isLate = late.signal.aborted
      const why = isLate ? `did not answer within ${this.#timeoutMs} ms` : `failed: ${reasonOf(cause)}`
      throw new ImageError(isLate ? 'TIMEOUT' : 'UNSUPPORTED', `the provider "${this.name}" ${why}`, {
        ...{ cause, side: 'upstream' },
        ...(isLate ? {} : { hint: `Correct the adapter of the provider "${this.name}", or use the provider "other".` }),
      })
    }
  }
}

function isProvider(value: unknown): value is Provider {
  return Check(ProviderShape, value)
}

function isNote(text: string): boolean {
  return text !== '' && text.length <= 512
}

async function none(): Promise<readonly string[]> {
  return []
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 200)
}

/** The work's end, or that of its time or the signal, for work that may look at neither. `late` is aborted when its time is over. */
async function within<T>(
  timeoutMs: number,
  late: AbortController,
  work: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const bounded = AbortSignal.any([late.signal, ...(signal === undefined ? [] : [signal])])
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = () => reject(bounded.reason)
  // Not AbortSignal.timeout: that one lets the process end while it waits.
  const timer = setTimeout(() => late.abort(new Error(`not done within ${timeoutMs} ms`)), timeoutMs)
  if (bounded.aborted) stop()
  bounded.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([work(bounded), promise])
  } finally {
    clearTimeout(timer)
    bounded.removeEventListener('abort', stop)
  }
}
