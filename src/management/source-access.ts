/** A source with its credentials at hand: how its registry is reached, for checks, browsing and transfers. Made by Sources alone. */
import type { Credentials } from '../registry/credentials.ts'
import { registryKey } from '../registry/credentials.ts'
import type { HostAccess, HostAnswer, HostAsk } from '../registry/host-access.ts'
import type { Registries } from '../registry/registries.ts'
import type { Upstream } from '../transfer/sources.ts'
import type { ProviderHost } from './providers/provider.ts'
import type { BoundedProvider } from './providers.ts'

export interface SourceAccessOptions {
  readonly registries: Pick<Registries, 'get' | 'access'>
  readonly provider: BoundedProvider
  /** As the source writes it. */
  readonly domain: string
  readonly credentials: { readonly username: string; readonly password: string } | undefined
}

export class SourceAccess implements ProviderHost {
  /** Where requests go. */
  readonly domain: string
  readonly username: string | undefined
  readonly provider: BoundedProvider
  readonly #host: HostAccess
  readonly #registries: Pick<Registries, 'get' | 'access'>

  constructor({ registries, provider, domain, credentials }: SourceAccessOptions) {
    this.provider = provider
    this.domain = registryKey(provider.registryHost(domain))
    this.username = credentials?.username
    const kept: Credentials | undefined = credentials && { kind: 'basic', ...credentials }
    this.#host = registries.access(this.domain, kept)
    this.#registries = registries
  }

  get registry(): HostAccess['registry'] {
    return this.#host.registry
  }

  /** For a transfer: this source's host with its credentials, every other (a mirror) as it is configured. */
  get upstreams(): { get(host: string): Upstream } {
    return {
      get: host => (registryKey(host) === this.domain ? this.#host.registry : this.#registries.get(host)),
    }
  }

  get(ask: HostAsk): Promise<HostAnswer> {
    return this.#host.get(ask)
  }

  getAnonymously(ask: HostAsk): Promise<HostAnswer> {
    return this.#host.getAnonymously(ask)
  }

  headManifest(repository: string, reference: string, signal: AbortSignal): Promise<HostAnswer> {
    return this.#host.headManifest(repository, reference, signal)
  }

  getElsewhere(host: string, ask: HostAsk): Promise<HostAnswer> {
    return this.#registries.access(host, undefined).getAnonymously(ask)
  }
}
