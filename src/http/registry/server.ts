/** The embedded registry's own port: the life of the distribution API. Built by the composition root. */
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { closeServer, listenOn, readTls, serverFactory, type TlsFiles } from '../listener.ts'
import { TlsReload } from '../tls-reload.ts'
import { buildRegistryApp } from './app.ts'
import type { Authorize } from './authorize.ts'
import type { RegistryContent } from './content.ts'
import type { IssuePass } from './token-route.ts'
import { Traffic } from './traffic.ts'
import type { WriteSide } from './write-side.ts'

export interface RegistryServerOptions {
  readonly store: RegistryContent
  /** `host:port`. */
  readonly listen: string
  /** For https; http without. Followed for changes. */
  readonly tls?: TlsFiles
  /** See RegistryAppOptions. */
  readonly authorize?: Authorize
  readonly issuePass?: IssuePass
  readonly write?: WriteSide
  /** How long answers in flight may take when the server stops, in milliseconds; readers go on with a Range later. */
  readonly graceMs?: number
  readonly logger: Logger
}

const listenKey = 'registry.embedded.listen'
/** Every node of a large site may pull with several connections. */
const maxConnections = 512
const defaultGraceMs = 5_000

export class RegistryServer {
  /** What readers have taken since the start. */
  readonly traffic = new Traffic()
  readonly #options: RegistryServerOptions
  #app: FastifyInstance | undefined
  #reload: TlsReload | undefined
  #address = ''

  constructor(options: RegistryServerOptions) {
    this.#options = options
  }

  /** `host:port` in use; empty before the start. */
  get address(): string {
    return this.#address
  }

  /** Listens. @throws ListenError naming address and key. */
  async start(): Promise<void> {
    const { store, listen, tls, authorize, issuePass, write, logger } = this.#options
    const where = { listen, key: listenKey }
    const files = tls && (await readTls(tls, where))
    const factory = serverFactory({ maxConnections, ...(write ? { requestTimeoutMs: 0 } : {}) }, files)
    const app = buildRegistryApp({
      store,
      traffic: this.traffic,
      logger,
      serverFactory: factory,
      ...(authorize ? { authorize } : {}),
      ...(issuePass ? { issuePass } : {}),
      ...(write ? { write } : {}),
    })
    this.#address = await listenOn(app, listen, listenKey)
    this.#app = app
    if (tls) {
      this.#reload = new TlsReload({ files: tls, where, logger })
      await this.#reload.start(app.server)
    }
    logger.info({ address: this.#address, tls: tls !== undefined }, 'the embedded registry listens')
  }

  /** Takes no more requests, lets those in flight finish for a moment. */
  async stop(): Promise<void> {
    const app = this.#app
    this.#reload?.stop()
    this.#app = undefined
    this.#address = ''
    if (app) await closeServer(app, this.#options.graceMs ?? defaultGraceMs)
  }
}
