/** All the registries that the agent talks to, by host: the room's door. Made by the composition root, used by transfers. */
import type { Logger } from 'pino'
import type { Side } from '../oci/errors.ts'
import { Connections, type HostOptions, originOf } from './connections.ts'
import { CredentialStore, type Credentials, registryKey } from './credentials.ts'
import { HostAccess } from './host-access.ts'
import type { Line } from './line.ts'
import { Registry } from './registry.ts'
import { Authorizer } from './tokens.ts'
import { Transport } from './transport.ts'

export interface RegistriesOptions {
  /** How to reach hosts. One that isn't listed is reached by https, with the docker config's credentials or none. */
  readonly hosts: readonly HostOptions[]
  /** Path of a docker config.json. */
  readonly dockerConfig?: string | undefined
  readonly userAgent: string
  /** Silence after which an answer is given up: `TIMEOUT` before its headers, `STALLED` in its body. Milliseconds. */
  readonly stallTimeoutMs: number
  readonly logger: Logger
  /** Which side errors name. Default `upstream`; the external local registry is `local`. */
  readonly side?: Side
  /** Told of every request that goes out, with the host on whose behalf it goes. */
  readonly onRequest?: (host: string) => void
  /** Told of every sign of life that comes, with the host on whose behalf it was asked. */
  readonly onAnswer?: (host: string) => void
  /** Watches over what crosses, and may slow it down; nobody without. */
  readonly line?: Line
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** References can name any host; of those that are not listed, so many are remembered with what was learned about them. */
const maxRegistries = 200

export class Registries {
  readonly #options: RegistriesOptions
  readonly #connections: Connections
  readonly #credentials: CredentialStore
  readonly #registries = new Map<string, Registry>()
  readonly #closing = new AbortController()

  constructor(options: RegistriesOptions) {
    const hosts = options.hosts.map(host => ({ ...host, host: registryKey(host.host) }))
    this.#options = { ...options, hosts }
    this.#connections = new Connections(this.#options)
    this.#credentials = new CredentialStore(this.#options)
  }

  /** The registry of a reference's host. The same one every time, so that tokens and connections are shared. */
  get(host: string): Registry {
    const key = registryKey(host)
    const known = this.#registries.get(key)
    if (known !== undefined) return known
    const made = this.#make(key, () => this.#credentials.find(key)).registry
    this.#registries.set(key, made)
    for (const oldest of this.#registries.keys()) {
      if (this.#registries.size <= maxRegistries) break
      this.#registries.delete(oldest)
    }
    return made
  }

  /**
   * A host under credentials of its own, or none, whatever is configured for it: new every time, with tokens that nobody else sees. How
   * the host is reached is as configured.
   */
  access(host: string, credentials: Credentials | undefined): HostAccess {
    const key = registryKey(host)
    const made = this.#make(key, async () => credentials)
    const now = this.#options.now ?? Date.now
    return new HostAccess({ ...made, connections: this.#connections, credentials, now })
  }

  /** Closes every connection; what is under way on them fails. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the registries are closed'))
    await this.#connections.close()
  }

  #make(key: string, credentials: () => Promise<Credentials | undefined>) {
    const host = this.#options.hosts.find(one => one.host === key) ?? { host: key }
    const now = this.#options.now ?? Date.now
    const connections = this.#connections
    const authorizer = new Authorizer({
      host,
      connections,
      now,
      closing: this.#closing.signal,
      timeoutMs: 2 * this.#options.stallTimeoutMs,
      credentials,
    })
    const { origin } = originOf(host)
    const side = this.#options.side ?? 'upstream'
    const transport = new Transport({ host, origin, side, connections, authorizer, now })
    return { host, transport, registry: new Registry(key, transport) }
  }
}
