/** The port of the agent's API. Built by the composition root. */
import { closeServer, isLoopback, listenOn, parseListen, readTls, serverFactory, type TlsFiles } from '../listener.ts'
import { TlsReload } from '../tls-reload.ts'
import { type ApiAppOptions, type ApiInstance, buildApiApp } from './app.ts'

export interface ApiServerOptions extends Omit<ApiAppOptions, 'loopback' | 'serverFactory'> {
  /** `host:port`. */
  readonly listen: string
  /** For https; http without. Followed for changes. */
  readonly tls?: TlsFiles | undefined
}

const listenKey = 'api.listen'
const maxConnections = 128
const graceMs = 2_000

export class ApiServer {
  readonly #options: ApiServerOptions
  #app: ApiInstance | undefined
  #reload: TlsReload | undefined
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
    const { listen, tls, logger } = this.#options
    const where = { listen, key: listenKey }
    const pair = tls && (await readTls(tls, where))
    const app = await buildApiApp({
      ...this.#options,
      loopback: isLoopback(parseListen(listen, listenKey).host),
      serverFactory: serverFactory({ maxConnections }, pair),
    })
    this.#address = await listenOn(app, listen, listenKey)
    this.#app = app
    if (tls) {
      this.#reload = new TlsReload({ files: tls, where, logger })
      await this.#reload.start(app.server)
    }
    logger.info({ address: this.#address, tls: tls !== undefined }, 'the API listens')
  }

  /** Ends event streams, lets answers in flight finish for a moment. */
  async stop(): Promise<void> {
    const app = this.#app
    this.#reload?.stop()
    this.#app = undefined
    this.#address = ''
    if (app) await closeServer(app, graceMs)
  }
}
