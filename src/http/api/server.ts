/** The port of the agent's API. Built by the composition root. */
import type { Logger } from 'pino'
import { closeServer, isLoopback, listenOn, parseListen, serverFactory } from '../listener.ts'
import { type ApiInstance, buildApiApp } from './app.ts'
import type { AgentFacts, PlansFace } from './facts.ts'

export interface ApiServerOptions {
  /** `host:port`. */
  readonly listen: string
  readonly facts: AgentFacts
  readonly plans: PlansFace
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now?: () => number
}

const listenKey = 'api.listen'
const maxConnections = 128
const graceMs = 2_000

export class ApiServer {
  readonly #options: ApiServerOptions
  #app: ApiInstance | undefined
  #address = ''

  constructor(options: ApiServerOptions) {
    this.#options = options
  }

  /** `host:port` in use; empty before the start. */
  get address(): string {
    return this.#address
  }

  /** Listens. @throws ListenError naming address and key. */
  async start(): Promise<void> {
    const { listen, logger } = this.#options
    const app = await buildApiApp({
      ...this.#options,
      loopback: isLoopback(parseListen(listen, listenKey).host),
      serverFactory: serverFactory({ maxConnections }),
    })
    this.#address = await listenOn(app, listen, listenKey)
    this.#app = app
    logger.info({ address: this.#address }, 'the API listens')
  }

  /** Ends event streams, lets answers in flight finish for a moment. */
  async stop(): Promise<void> {
    const app = this.#app
    this.#app = undefined
    this.#address = ''
    if (app) await closeServer(app, graceMs)
  }
}
