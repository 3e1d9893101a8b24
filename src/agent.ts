/**
 * The composition root: builds every part, starts them in order, stops them in reverse. The only place, beside the commands, that
 * sees the configuration; each room gets plain options.
 */
import type { Logger } from 'pino'
import { Access } from './agent/access.ts'
import { Engine } from './agent/engine.ts'
import { LifecycleSide } from './agent/lifecycle.ts'
import { Management } from './agent/management.ts'
import { protectWanted } from './agent/protection.ts'
import { steadyFigure } from './agent/steady-figure.ts'
import { formatListen } from './config/forms.ts'
import type { Config } from './config.ts'
import type { AgentFacts } from './http/api/facts.ts'
import { ApiServer } from './http/api/server.ts'
import type { Readiness, StorageState } from './http/api/shapes.ts'
import type { ManagementFace } from './http/management/face.ts'
import { DocumentFolder } from './management/folder/document-folder.ts'
import type { KeptKinds } from './management/folder/keepers.ts'
import type { Hold } from './management/lifecycle/shelf.ts'
import type { RepositoryHold } from './management/repository-object.ts'
import { MqttLink } from './mqtt/link.ts'
import { readTrustedKeys } from './oci/jws.ts'
import { formatPlatform } from './oci/platform.ts'
import { Outbox } from './plans/outbox.ts'
import { Plans } from './plans/plans.ts'
import type { Hold as PlanHold } from './state/plans.ts'

export { createTokenOffline } from './agent/offline-token.ts'
export { pullImages } from './agent/pull.ts'

export interface AgentOptions {
  readonly logger: Logger
  readonly version: string
}

/** An agent with the given configuration; nothing is opened before its start. */
export function createAgent(config: Config, options: AgentOptions): Agent {
  return new Agent(config, options)
}

/** What the API shows beside the engine. */
interface ApiParts {
  readonly access: Access
  readonly plans: Plans
  readonly outbox: Outbox
  readonly link: MqttLink | undefined
  readonly management: Management
  readonly face: ManagementFace
  readonly kept: LifecycleSide
}

/** Something that was started, and how it is stopped. */
interface Started {
  readonly name: string
  stop(): Promise<void>
}

export class Agent {
  readonly #config: Config
  readonly #options: AgentOptions
  readonly #started: Started[] = []

  constructor(config: Config, options: AgentOptions) {
    this.#config = config
    this.#options = options
  }

  /**
   * Opens state and content, lets nodes pull, takes up the plans, then listens to MECM. Does not wait for a broker or an upstream.
   * @throws StateError, ListenError: what an operator has to put right first. Stop it then, too.
   */
  async start(): Promise<void> {
    const engine = await Engine.open(this.#config, this.#options)
    this.#started.push({ name: 'engine', stop: () => engine.close() })
    const access = new Access(this.#config, { state: engine.state, logger: this.#options.logger })
    const { plans, outbox } = this.#createPlans(engine)
    const management = new Management(this.#config, { engine, access, plans, logger: this.#options.logger })
    const { repositories, sources } = management
    const holds = () => [...plans.holds().map(ofPlan), ...repositories.holds().map(ofRepository)]
    const holdsIn = (repository: string) => [
      ...plans.holdsIn(repository).map(ofPlan),
      ...repositories.holdsIn(repository).map(ofRepository),
    ]
    const kept = new LifecycleSide(this.#config, {
      ...{ engine, holds, audit: access.audit, logger: this.#options.logger },
      requestsFor: repository => [...plans.requestsFor(repository), ...management.requestsFor(repository)],
    })
    repositories.events.on('changed', ({ spec, metadata }) => kept.belongs(spec.repository, metadata.namespace))
    const link = this.#createLink(engine, plans, outbox)
    const kinds = { sources, repositories, policies: kept.policies, plans }
    const face = { ...kinds, access: access.api }
    const api = this.#createApi(engine, { access, plans, outbox, link, kept, management, face })

    await access.start()
    this.#started.push({ name: 'access', stop: async () => access.stop() })
    await engine.side.serve({
      gate: access.registry,
      protects: protectWanted(holdsIn),
      wrote: access.recordWrite,
    })
    plans.start()
    engine.ledger.health.events.on('back', () => plans.linkIsBack())
    this.#started.push({ name: 'plans', stop: () => plans.stop() })
    await management.start()
    this.#started.push({ name: 'management', stop: () => management.stop() })
    kept.start()
    this.#started.push({ name: 'lifecycle', stop: () => kept.stop() })
    this.#followDocuments(engine, kinds)
    await api.start()
    this.#started.push({ name: 'api', stop: () => api.stop() })
    if (link) {
      await link.start()
      this.#started.push({ name: 'mqtt', stop: () => link.stop() })
    }
    this.#options.logger.info({ stateDir: this.#config.agent.stateDir }, 'ready')
  }

  /** Stops what was started, in reverse, each though another failed. What has arrived is kept for the next start. */
  async stop(): Promise<void> {
    for (let part = this.#started.pop(); part !== undefined; part = this.#started.pop()) {
      try {
        await part.stop()
      } catch (error) {
        this.#options.logger.error({ err: error, part: part.name }, 'a part did not stop as it should')
      }
    }
  }

  #followDocuments({ state }: Engine, kinds: KeptKinds): void {
    const { dir } = this.#config.documents
    if (dir === undefined) return
    const folder = new DocumentFolder({ dir, state, kinds, logger: this.#options.logger })
    folder.start()
    this.#started.push({ name: 'documents', stop: () => folder.stop() })
  }

  #createPlans(engine: Engine): { plans: Plans; outbox: Outbox } {
    const { agent, mqtt } = this.#config
    const plans = new Plans({
      state: engine.state,
      engine: engine.transfer,
      edge: agent,
      report: mqtt !== undefined,
      rate: hosts => engine.rateOf(hosts),
      keys: this.#config.plans.trustedKeys.flatMap(readTrustedKeys),
      logger: this.#options.logger,
    })
    return { plans, outbox: new Outbox({ state: engine.state }) }
  }

  #createLink(engine: Engine, plans: Plans, outbox: Outbox): MqttLink | undefined {
    const { agent, mqtt } = this.#config
    if (!mqtt) return undefined
    const { sessionExpiryMs, progressShare, ...broker } = mqtt
    return new MqttLink({
      ...broker,
      edge: agent.id,
      groups: agent.groups,
      sessionExpirySeconds: Math.ceil(sessionExpiryMs / 1000),
      plans,
      outbox,
      progressAllowance: () => engine.link.state.rate * progressShare || undefined,
      stateDocument: this.#stateDocument(engine, plans),
      freshState: !outbox.isTakenUp,
      logger: this.#options.logger,
    })
  }

  #createApi(engine: Engine, parts: ApiParts): ApiServer {
    const { side, ledger } = engine
    const { access, plans, outbox, link, kept, management, face } = parts
    const facts: AgentFacts = {
      edge: this.#config.agent.id,
      version: this.#options.version,
      readiness: signal => readiness(engine, { link, kept }, signal),
      images: async () => side.images(plans.list()),
      broker: () => link?.status,
      registry: () => side.facts,
      upstreams: () => ledger.list(),
      storage: () => side.storage(),
      link: engine.link,
      outboxMessages: () => (link ? outbox.size : 0),
      blobsFetched: () => ledger.blobsFetched,
      traffic: () => side.traffic,
      upkeep: () => kept.figures(),
      figures: {
        syncFailures: () => management.repositories.failures,
        connectionFailures: () => management.sources.connectionFailures(),
        versions: () => side.inventory(() => plans.list()).images,
        disk: () => kept.disk(),
      },
    }
    return new ApiServer({
      listen: formatListen(this.#config.api.listen),
      tls: this.#config.api.tls,
      facts,
      plans,
      management: face,
      access: access.api,
      tokens: access.tokens,
      audit: access.audit,
      vault: access.vault,
      upkeep: kept.lifecycle,
      logger: this.#options.logger,
    })
  }

  /** What `state` says beside being online. Figures are rounded, since an idle edge should have nothing new to say. */
  #stateDocument(engine: Engine, plans: Plans): () => object {
    const { side } = engine
    const { agent } = this.#config
    let storage: StorageState | undefined
    const [used, free] = [steadyFigure(stateStepBytes), steadyFigure(stateStepBytes)]
    const refresh = () => {
      side.storage().then(
        now => {
          storage = now
        },
        error => this.#options.logger.warn({ err: error }, 'the storage figures can not be read'),
      )
    }
    refresh()
    return () => {
      refresh()
      return {
        version: this.#options.version,
        platforms: agent.platforms.map(formatPlatform),
        groups: agent.groups,
        registry: side.facts,
        storage: storage && {
          usedBytes: used(storage.usedBytes),
          freeBytes: storage.freeBytes === null ? null : free(storage.freeBytes),
        },
        inventory: side.inventory(() => plans.list()),
      }
    }
  }
}

function ofPlan(hold: PlanHold): Hold {
  return { ...hold, holder: `plan ${hold.plan}` }
}

function ofRepository(hold: RepositoryHold): Hold {
  return { ...hold, holder: `Repository ${hold.holder}` }
}

const stateStepBytes = 256 * 1024 * 1024

async function readiness(
  engine: Engine,
  { link, kept }: Pick<ApiParts, 'link' | 'kept'>,
  signal: AbortSignal,
): Promise<Readiness> {
  const problems: string[] = []
  try {
    engine.state.db.prepare('SELECT 1').get()
    await engine.side.check(signal)
  } catch (error) {
    problems.push(
      `the local registry or the state folder does not answer: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  const away = link !== undefined && !link.status.connected
  const broker = away ? [`the broker is away: ${link.status.lastError ?? 'not connected yet'}`] : []
  return { problems, degraded: [...broker, ...kept.complaints()] }
}
