/**
 * One host under credentials of its own: its registry, and what else it serves over HTTP. Made for every image source, so that two of
 * one host with different users stay apart. Used by management/, made by {@link Registries.access}.
 */
import type { Answer } from './answer.ts'
import type { Connections, HostOptions, WireRequest } from './connections.ts'
import type { Credentials } from './credentials.ts'
import { answerError } from './errors.ts'
import { sendFollowing } from './redirects.ts'
import type { Registry } from './registry.ts'
import { basic } from './tokens.ts'
import type { Transport } from './transport.ts'

export interface HostAccessOptions {
  readonly host: HostOptions
  readonly registry: Registry
  readonly transport: Transport
  readonly connections: Connections
  readonly credentials: Credentials | undefined
  /** Epoch milliseconds. */
  readonly now: () => number
}

export interface HostAsk {
  /** With its query, below the host's origin. */
  readonly path: string
  /** For errors: `list the projects`. */
  readonly doing: string
  /** Statuses that the caller handles; any other is thrown. Default 200. */
  readonly expect?: readonly number[]
  readonly signal: AbortSignal
}

/** An answer that was read to its end. */
export interface HostAnswer {
  readonly status: number
  /** By lower case name. */
  header(name: string): string | undefined
  /** The JSON body; undefined where it is none. */
  readonly document: unknown
}

const maxBodyBytes = 8 * 1024 * 1024

export class HostAccess {
  readonly registry: Registry
  readonly #options: HostAccessOptions

  constructor(options: HostAccessOptions) {
    this.registry = options.registry
    this.#options = options
  }

  /**
   * One GET of the host's own API, with the credentials as Basic from the first request on: such APIs answer without a challenge.
   * @throws ImageError for a status that isn't expected and every failure of the network, or the signal's reason.
   */
  async get(ask: HostAsk): Promise<HostAnswer> {
    const { credentials } = this.#options
    return await this.#get(ask, credentials?.kind === 'basic' ? basic(credentials) : undefined)
  }

  /** The same without credentials, whatever there are. */
  async getAnonymously(ask: HostAsk): Promise<HostAnswer> {
    return await this.#get(ask, undefined)
  }

  /** The headers that the registry sends with a manifest: a HEAD, which costs no pull. @throws as {@link get}. */
  async headManifest(repository: string, reference: string, signal: AbortSignal): Promise<HostAnswer> {
    const answer = await this.#options.transport.send({
      method: 'HEAD',
      url: `/v2/${repository}/manifests/${reference}`,
      scopes: [`repository:${repository}:pull`],
      subject: 'manifest',
      doing: `ask for ${repository}:${reference}`,
      expect: [200, 404],
      signal,
    })
    await answer.discard()
    return { status: answer.status, header: name => answer.header(name), document: undefined }
  }

  async #get({ path, doing, expect = [200], signal }: HostAsk, authorization: string | undefined): Promise<HostAnswer> {
    const { host, connections, transport, now } = this.#options
    const about = { doing, side: transport.side }
    const url = new URL(path, transport.origin)
    if (url.origin !== transport.origin) throw transport.error('REDIRECT', `${path} is not on ${host.host}`, doing)
    const request: WireRequest = { method: 'GET', url, headers: { accept: 'application/json' }, about, signal }
    const answer = await sendFollowing(connections, host, request, authorization)
    if (!expect.includes(answer.status)) throw await answerError(answer, 'registry', about, now)
    return { status: answer.status, header: name => answer.header(name), document: await readJson(answer) }
  }
}

async function readJson(answer: Answer): Promise<unknown> {
  answer.refuseEncoding()
  const bytes = await answer.read(maxBodyBytes)
  try {
    return bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined
  }
}
