/** Image management put together: providers, sources, Repositories, on the engine and the local registry. Built by agent.ts. */
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { Providers } from '../management/providers.ts'
import { Repositories } from '../management/repositories.ts'
import { Sources } from '../management/sources.ts'
import type { Plans } from '../plans/plans.ts'
import type { ImageRequest } from '../transfer/engine.ts'
import type { Access } from './access.ts'
import type { Engine } from './engine.ts'

export interface ManagementParts {
  readonly engine: Engine
  readonly access: Pick<Access, 'vault' | 'audit'>
  readonly plans: Pick<Plans, 'holdsIn'>
  readonly logger: Logger
}

export class Management {
  readonly sources: Sources
  readonly repositories: Repositories
  readonly #providers: Providers
  readonly #providerFiles: readonly string[]

  constructor({ agent, management }: Config, { engine, access, plans, logger }: ManagementParts) {
    const { state, registries, transfer, side } = engine
    const { vault, audit } = access
    this.#providers = new Providers({ logger })
    this.#providerFiles = management.providers
    this.sources = new Sources({
      ...{ state, vault, registries, providers: this.#providers, audit, logger },
      verifyIntervalMs: management.verifyIntervalMs,
    })
    this.repositories = new Repositories({
      ...{ state, sources: this.sources, engine: transfer, local: side.local, audit, logger },
      platforms: agent.platforms,
      maxRuns: management.syncs,
      planKeeping: (repository, tag, digest) =>
        plans.holdsIn(repository).find(hold => hold.tag === tag && (hold.digest ?? digest) !== digest)?.plan,
    })
  }

  /** How what Repositories keep in a path can be had, with the credentials of their sources. */
  requestsFor(repository: string): ImageRequest[] {
    const { items } = this.repositories.list({ namespaces: 'all', search: repository })
    const refs = items
      .filter(({ spec }) => spec.repository === repository)
      .flatMap(({ spec }) => [spec.registryRef, ...(spec.fallbackRefs ?? [])])
    return refs.flatMap(ref => {
      try {
        const { domain, provider, upstreams } = this.sources.open(ref)
        const source = { registry: domain, repository: provider.sourcePath(repository), tag: 'latest' }
        const rest = { mirrors: [], platforms: 'all', referrers: false } as const
        return [{ source, target: { repository }, registries: upstreams, ...rest }]
      } catch {
        return [] // a source that is gone, or whose password can't be read
      }
    })
  }

  /** Loads the site's providers, then takes up what is due. */
  async start(): Promise<void> {
    await this.#providers.load(this.#providerFiles)
    this.sources.start()
    this.repositories.start()
  }

  async stop(): Promise<void> {
    await this.repositories.stop()
    await this.sources.stop()
  }
}
