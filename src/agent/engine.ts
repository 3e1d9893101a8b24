/** The engine on the configured local registry: what the daemon and `pull` have in common. */
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { Registries } from '../registry/registries.ts'
import { BudgetRows } from '../state/budget.ts'
import { openState, type State } from '../state/database.ts'
import { ReferrerAnswers } from '../state/referrer-answers.ts'
import { HealthRows } from '../state/source-health.ts'
import { Link } from '../transfer/link/link.ts'
import { SourceHealth } from '../transfer/source-health.ts'
import { Transfer } from '../transfer/transfer.ts'
import { UpstreamLedger } from '../transfer/upstream-ledger.ts'
import { createLocalSide, type LocalSide } from './local-side.ts'

export interface EngineOptions {
  readonly logger: Logger
  readonly version: string
}

/** State, local registry, upstreams and the transfer between them, open. */
export class Engine {
  readonly state: State
  readonly side: LocalSide
  readonly transfer: Transfer
  readonly ledger: UpstreamLedger
  readonly registries: Registries
  readonly link: Link

  private constructor(config: Config, state: State, { logger, version }: EngineOptions) {
    const userAgent = `edge-image-agent/${version}`
    this.state = state
    this.ledger = new UpstreamLedger({ health: new SourceHealth({ rows: new HealthRows(state.db), logger }) })
    this.side = createLocalSide(config, { state, logger, userAgent })
    const { maxRate, windows, budget, diskReserve } = config.transfer
    this.link = new Link({
      windows,
      ...(maxRate === undefined ? {} : { maxRate }),
      ...(budget === undefined ? {} : { budget: { limits: budget, rows: new BudgetRows(state.db) } }),
      logger,
    })
    this.registries = new Registries({
      hosts: config.upstreams,
      dockerConfig: config.dockerConfig,
      userAgent,
      stallTimeoutMs: config.transfer.stallTimeoutMs,
      onRequest: host => this.ledger.requested(host),
      onAnswer: host => this.ledger.health.heard(host),
      line: this.link,
      logger,
    })
    this.transfer = new Transfer({
      local: this.side.local,
      registries: this.registries,
      mirrors: new Map(config.upstreams.map(upstream => [upstream.host, upstream.mirrors])),
      referrers: new ReferrerAnswers(state.db),
      ledger: this.ledger,
      link: this.link,
      diskReserve,
      concurrency: config.transfer.concurrency,
      sendsOn: config.registry.kind === 'external',
      sparseIndexes: config.registry.kind === 'external' ? config.registry.sparseIndexes : 'fail',
      logger,
    })
  }

  /**
   * Opens the state folder and the content.
   * @throws StateError when the folder is held by another process, can't be written, or its database is newer or damaged.
   */
  static async open(config: Config, options: EngineOptions): Promise<Engine> {
    const state = openState(config.agent.stateDir, options)
    try {
      const engine = new Engine(config, state, options)
      engine.link.start()
      engine.ledger.health.start()
      await engine.side.start()
      return engine
    } catch (error) {
      state.close()
      throw error
    }
  }

  /** Bytes a second that the best of these hosts has given, in earlier processes, too; undefined: none of them was measured. */
  rateOf(hosts: readonly string[]): number | undefined {
    const known = hosts.map(host => this.ledger.health.goodput(host)).filter(rate => rate !== undefined && rate > 0)
    return known.reduce<number | undefined>((best, rate) => Math.max(best ?? 0, rate ?? 0), undefined)
  }

  /** Waits until no transfer holds a file, then closes everything. Callers have aborted what they started. */
  async close(): Promise<void> {
    try {
      await this.registries.close()
      await this.transfer.stop()
      await this.side.stop()
    } finally {
      this.link.stop()
      this.ledger.health.stop()
      this.state.close()
    }
  }
}
