/**
 * The local registry with everything around it: the embedded one with its store and its port, or an external one with its staging folder.
 * What the rest of the agent asks of either stands in {@link LocalSide}. Built by agent.ts and by pull.ts.
 */
import { join } from 'node:path'
import type { Logger } from 'pino'
import { formatListen } from '../config/forms.ts'
import type { Config, EmbeddedRegistryConfig, ExternalRegistryConfig } from '../config.ts'
import type { RegistryGate } from '../http/access/registry-access.ts'
import type { HeldImage, LocalRegistryState, StorageState } from '../http/api/shapes.ts'
import { RegistryServer } from '../http/registry/server.ts'
import type { Traffic } from '../http/registry/traffic.ts'
import type { Protects, RegistryWrite } from '../http/registry/write-side.ts'
import { parseTarget } from '../oci/reference.ts'
import type { PlanStatus } from '../plans/status.ts'
import { Registries } from '../registry/registries.ts'
import type { Registry } from '../registry/registry.ts'
import type { State } from '../state/database.ts'
import { Ingests } from '../state/ingests.ts'
import { Placements } from '../state/placements.ts'
import { TagJournal } from '../state/tag-journal.ts'
import { ContentStore } from '../store/content.ts'
import { Store } from '../store/store.ts'
import type { LocalReader, LocalRegistry } from '../transfer/local.ts'
import { EmbeddedRegistry } from '../transfer/local-embedded.ts'
import { ExternalRegistry } from '../transfer/local-external.ts'
import { type Inventory, inventoryOf, takeInventory } from './inventory.ts'

/**
 * What is staged is sent on soon and then removed: synced seldom, most of it need never reach the disk. A power loss costs so much of a
 * blob at most, and no more than ten seconds of a thin link.
 */
const stagingSyncBytes = 64 * 1024 * 1024

/** The embedded registry's content. */
export interface EmbeddedContent {
  readonly kind: 'embedded'
  readonly store: Store
  /** The folder of the layout. */
  readonly root: string
}

/** What there is beside an external registry. */
export interface ExternalContent {
  readonly kind: 'external'
  readonly registry: Registry
  readonly staging: ContentStore
}

export interface LocalSide {
  /** For the upkeep of what is stored. */
  readonly content: EmbeddedContent | ExternalContent
  readonly local: LocalRegistry & LocalReader
  readonly facts: LocalRegistryState
  /** What nodes took; undefined beside an external registry, which keeps that to itself. */
  readonly traffic: Traffic | undefined
  /** Opens the content. */
  start(): Promise<void>
  /** Lets nodes pull, and whoever may push, where that is ours to do. */
  serve(door: RegistryDoor): Promise<void>
  stop(): Promise<void>
  /** @throws when the registry does not answer. */
  check(signal: AbortSignal): Promise<void>
  /** What is held, by tag. `statuses` are the plans', for a registry whose content is not ours to list. */
  images(statuses: readonly PlanStatus[]): readonly HeldImage[]
  /** What {@link images} lists, in short. Beside the embedded registry it costs nothing as long as nothing has changed. */
  inventory(statuses: () => readonly PlanStatus[]): Inventory
  storage(): Promise<StorageState>
}

/** Who is let in at the registry's port, and who is told of what was done there. */
export interface RegistryDoor {
  /** Undefined where the registry is not ours. */
  readonly gate: RegistryGate | undefined
  readonly protects: Protects
  readonly wrote: (write: RegistryWrite) => void
}

export interface LocalSideParts {
  readonly state: State
  readonly logger: Logger
  readonly userAgent: string
}

/** The side that the configuration names; nothing is opened yet. */
export function createLocalSide(config: Config, parts: LocalSideParts): LocalSide {
  return config.registry.kind === 'embedded'
    ? new EmbeddedSide(config.registry, parts)
    : new ExternalSide(config.registry, config, parts)
}

class EmbeddedSide implements LocalSide {
  readonly local: LocalRegistry & LocalReader
  readonly inventory: () => Inventory
  readonly #config: EmbeddedRegistryConfig
  readonly #store: Store
  readonly #logger: Logger
  #server: RegistryServer | undefined

  get content(): EmbeddedContent {
    return { kind: 'embedded', store: this.#store, root: this.#config.storageDir }
  }

  constructor(config: EmbeddedRegistryConfig, { state, logger }: LocalSideParts) {
    this.#config = config
    this.#logger = logger
    this.#store = new Store({ root: config.storageDir, state, logger })
    this.local = new EmbeddedRegistry(this.#store)
    this.inventory = inventoryOf(this.#store)
  }

  get facts(): LocalRegistryState {
    return { kind: 'embedded', address: this.#config.advertise ?? this.#server?.address ?? '' }
  }

  get traffic(): Traffic | undefined {
    return this.#server?.traffic
  }

  async start(): Promise<void> {
    await this.#store.start()
  }

  async serve({ gate, protects, wrote }: RegistryDoor): Promise<void> {
    const { listen, tls, push } = this.#config
    this.#server = new RegistryServer({
      store: this.#store,
      listen: formatListen(listen),
      ...(tls === undefined ? {} : { tls }),
      ...(gate === undefined ? {} : { authorize: gate.authorize, issuePass: gate.issuePass }),
      ...(push ? { write: { content: this.#store, protects, wrote } } : {}),
      logger: this.#logger,
    })
    await this.#server.start()
  }

  async stop(): Promise<void> {
    await this.#server?.stop()
    await this.#store.stop()
  }

  async check(): Promise<void> {
    await this.#store.content.freeBytes()
  }

  images(): readonly HeldImage[] {
    return this.#store.images().map(({ repository, tag, descriptor, size, source, updatedAt }) => ({
      ...{ repository, tag, size, source },
      digest: descriptor.digest,
      mediaType: descriptor.mediaType,
      updatedAt: new Date(updatedAt).toISOString(),
    }))
  }

  async storage(): Promise<StorageState> {
    return { usedBytes: await this.#store.usedBytes(), freeBytes: await this.#store.content.freeBytes() }
  }
}

class ExternalSide implements LocalSide {
  readonly local: ExternalRegistry
  readonly traffic = undefined
  readonly facts: LocalRegistryState
  readonly #registries: Registries
  readonly #host: string
  readonly #staging: ContentStore
  readonly #logger: Logger

  constructor(external: ExternalRegistryConfig, config: Config, { state, logger, userAgent }: LocalSideParts) {
    this.#host = external.host
    this.#logger = logger
    this.#registries = new Registries({
      hosts: [external],
      userAgent,
      stallTimeoutMs: config.transfer.stallTimeoutMs,
      logger,
      side: 'local',
    })
    this.#staging = new ContentStore({
      root: join(config.agent.stateDir, 'staging'),
      syncBytes: stagingSyncBytes,
      ingests: new Ingests(state.db),
      logger,
    })
    this.local = new ExternalRegistry({
      registry: this.#registries.get(external.host),
      staging: this.#staging,
      placements: new Placements(state.db),
      journal: new TagJournal(state.db),
      logger,
    })
    this.facts = { kind: 'external', address: `${external.plainHttp ? 'http' : 'https'}://${external.host}` }
  }

  get content(): ExternalContent {
    return { kind: 'external', registry: this.#registries.get(this.#host), staging: this.#staging }
  }

  async start(): Promise<void> {
    await this.#staging.start()
  }

  /** The registry serves by itself; what a crash left half done in it is completed as soon as it answers. */
  async serve(): Promise<void> {
    await this.local.recover(AbortSignal.timeout(10_000)).catch(error => {
      this.#logger.warn(
        { err: error },
        'the local registry does not answer; unfinished tag changes are completed later',
      )
    })
  }

  async stop(): Promise<void> {
    await this.#registries.close()
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#registries.get(this.#host).ping(signal)
  }

  /** What plans have put there; the registry may hold more that is not this agent's business. */
  images(statuses: readonly PlanStatus[]): readonly HeldImage[] {
    return statuses.flatMap(heldImages)
  }

  inventory(statuses: () => readonly PlanStatus[]): Inventory {
    return takeInventory(this.images(statuses()))
  }

  async storage(): Promise<StorageState> {
    return { usedBytes: await this.#staging.usedBytes(), freeBytes: await this.#staging.freeBytes() }
  }
}

/** A Ready plan's image as the list of images shows it. */
function heldImages(status: PlanStatus): HeldImage[] {
  if (status.phase !== 'Ready') return []
  return status.images.flatMap(({ target, digest, bytesTotal }) => {
    const { repository, tag } = parseTarget(target.replace(/@.*$/, ''))
    const facts = { size: bytesTotal, source: `plan ${status.plan}`, updatedAt: status.at }
    return digest === null ? [] : [{ repository, tag: tag ?? null, digest, mediaType: null, ...facts }]
  })
}
