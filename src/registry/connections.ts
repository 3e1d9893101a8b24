/**
 * The connections to all hosts: who is trusted, how long is waited, and one request on the wire. Shared by the registries of a
 * {@link Registries}; nothing here knows credentials or redirects.
 */
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import type { Agent, Dispatcher } from 'undici'
import { ImageError } from '../oci/errors.ts'
import { Answer } from './answer.ts'
import { type Doing, isSpoiltConnection, networkFailure } from './failures.ts'
import { headBytes, type Line, type Passage } from './line.ts'

/** How a host is reached. Also what stands behind `upstreams` in the configuration. */
export interface HostOptions {
  /** `host[:port]`, as in a reference. */
  readonly host: string
  readonly plainHttp?: boolean
  /** PEM; trusted beside the machine's own roots. */
  readonly caFile?: string
  readonly insecureSkipVerify?: boolean
  readonly username?: string
  readonly password?: string
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Bytes in memory, or a stream that is opened anew for every try. */
export type RequestBody = Uint8Array | StreamBody

export interface StreamBody {
  /** Bytes. */
  readonly length: number
  readonly open: () => AsyncIterable<Uint8Array>
}

/** One request on the wire. */
export interface WireRequest {
  readonly method: Method
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: RequestBody
  readonly about: Doing
  readonly signal: AbortSignal
  /** How long to wait for the answer's headers, if longer than the stall timeout. Milliseconds. */
  readonly answerTimeoutMs?: number
}

export interface ConnectionsOptions {
  readonly hosts: readonly HostOptions[]
  readonly userAgent: string
  readonly stallTimeoutMs: number
  /** Told of every request that goes out, token requests and redirects too, with the host on whose behalf it goes. */
  readonly onRequest?: (host: string) => void
  /** Watches over what crosses; nobody without. */
  readonly line?: Line
}

type Trust = Pick<HostOptions, 'caFile' | 'insecureSkipVerify'>

/** Enough for every transfer that runs at once; a registry that gets more connections from one site only slows each. */
const connectionsPerOrigin = 16
const connectTimeoutMs = 15_000
/** Shorter than the idle times of common servers and balancers, so that a kept connection is seldom found closed. */
const keepAliveMs = 15_000

export class Connections {
  readonly #options: ConnectionsOptions
  /** By trust: undici keeps a pool per origin inside each. */
  readonly #agents = new Map<string, Promise<Agent>>()
  #closed = false
  /** Origins that have answered, so that a connection to them may be an old one. */
  readonly #answered = new Set<string>()

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  /**
   * Sends one request and returns its answer, whatever its status. A request that may be repeated, and whose kept-alive connection
   * turns out to be closed or spoilt, is sent once more at once.
   * @param owner the host on whose behalf it is sent: its CA is trusted for redirects and token servers, too.
   * @throws ImageError as {@link networkFailure}, or the signal's reason.
   */
  async send(request: WireRequest, owner: HostOptions, strayed = false): Promise<Answer> {
    request.signal.throwIfAborted()
    try {
      if (this.#closed) throw new Error('the connections are closed')
      const agent = await this.#agentFor(request.url, owner, request.about)
      const response = await this.#exchange(request, agent, owner)
      this.#remember(request.url.origin)
      const { url, about, signal } = request
      this.#options.line?.head(owner.host, headBytes(response.headers))
      return new Answer(response, { url, strayed, about, signal, passage: this.#passage(request, response, owner) })
    } catch (error) {
      request.signal.throwIfAborted()
      throw networkFailure(error, request.url, request.about)
    }
  }

  /** Closes every connection, whatever is under way on it. */
  async close(): Promise<void> {
    this.#closed = true
    const agents = await Promise.allSettled(this.#agents.values())
    this.#agents.clear()
    await Promise.allSettled(agents.map(agent => (agent.status === 'fulfilled' ? agent.value.destroy() : undefined)))
  }

  async #exchange(request: WireRequest, agent: Agent, owner: HostOptions): Promise<Dispatcher.ResponseData> {
    const repeatable = isRepeatable(request) && this.#answered.has(request.url.origin)
    try {
      return await this.#once(request, agent, owner)
    } catch (error) {
      if (!repeatable || request.signal.aborted || !isSpoiltConnection(error)) throw error
      return await this.#once(request, agent, owner)
    }
  }

  /** The way of the answer's body; a HEAD has none, whatever length it tells. */
  #passage({ method }: WireRequest, { headers }: Dispatcher.ResponseData, owner: HostOptions): Passage | undefined {
    if (method === 'HEAD') return undefined
    const length = Number(headers['content-length'])
    return this.#options.line?.body(owner.host, Number.isSafeInteger(length) ? length : undefined)
  }

  #once(
    { method, url, headers, body, signal, answerTimeoutMs = 0 }: WireRequest,
    dispatcher: Agent,
    owner: HostOptions,
  ) {
    this.#options.onRequest?.(owner.host)
    const sized = body === undefined ? {} : { 'content-length': String(body.length) }
    // Compressed answers would have to be unpacked before their digest can be checked, and Range would count other bytes.
    const own = { 'user-agent': this.#options.userAgent, 'accept-encoding': 'identity', ...headers, ...sized }
    this.#options.line?.head(owner.host, headBytes({ host: url.host, ...own }, method.length + url.pathname.length))
    return dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: own,
      body: body === undefined || body instanceof Uint8Array ? (body ?? null) : Readable.from(body.open()),
      signal,
      // undici would close the connection after a HEAD, for servers that wrongly send a body with it: theirs is found out and
      // asked again on a new one, everybody else is spared a connection per question.
      reset: false,
      headersTimeout: Math.max(this.#options.stallTimeoutMs, answerTimeoutMs),
      bodyTimeout: this.#options.stallTimeoutMs,
    })
  }

  #agentFor(url: URL, owner: HostOptions, about: Doing): Promise<Agent> {
    const trust = this.#trustFor(url, owner)
    const key = `${trust.insecureSkipVerify === true} ${trust.caFile ?? ''}`
    const known = this.#agents.get(key)
    if (known !== undefined) return known
    const made = this.#makeAgent(trust, url, about)
    this.#agents.set(key, made)
    // A CA file that can't be read now may be there at the next try.
    made.catch(() => this.#agents.delete(key))
    return made
  }

  /**
   * A listed host has its own settings. Another one, where a redirect or a token realm led, is trusted by the owner's CA as well
   * as the machine's roots, but is always verified: the switch to skip that was given for one host.
   */
  #trustFor(url: URL, owner: HostOptions): Trust {
    const listed = this.#options.hosts.find(host => originOf(host).host === url.host)
    if (listed !== undefined) return listed
    if (originOf(owner).hostname === url.hostname) return owner
    return owner.caFile === undefined ? {} : { caFile: owner.caFile }
  }

  async #makeAgent(trust: Trust, url: URL, about: Doing): Promise<Agent> {
    // Made once: from a list of certificates, every connection would parse all of them again.
    const secureContext = trust.caFile === undefined ? undefined : await trusting(trust.caFile, url, about)
    // Loaded for the first request: 3 MiB that an agent with nothing to ask for does without.
    const { Agent } = await import('undici')
    return new Agent({
      allowH2: false,
      pipelining: 1,
      connections: connectionsPerOrigin,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: 4 * keepAliveMs,
      connect: {
        timeout: connectTimeoutMs,
        rejectUnauthorized: trust.insecureSkipVerify !== true,
        ...(secureContext === undefined ? {} : { secureContext }),
      },
    })
  }

  #remember(origin: string): void {
    if (this.#answered.size >= 1000) this.#answered.clear()
    this.#answered.add(origin)
  }
}

/** A stream goes into an upload session, which may have taken part of it already. */
function isRepeatable({ method, body }: WireRequest): boolean {
  return method !== 'POST' && method !== 'PATCH' && (body === undefined || body instanceof Uint8Array)
}

async function trusting(caFile: string, url: URL, about: Doing): Promise<SecureContext> {
  try {
    const certificates = await readFile(caFile, 'utf8')
    // OpenSSL takes a file without certificates and trusts nobody by it.
    if (!certificates.includes('-----BEGIN')) throw new Error('it holds no certificate in PEM form')
    return createSecureContext({ ca: [...getCACertificates('default'), certificates] })
  } catch (error) {
    throw new ImageError(
      'TLS',
      `the CA file ${caFile} can not be used: ${error instanceof Error ? error.message : error}`,
      {
        ...about,
        cause: error,
        host: url.host,
        hint: `Make ${caFile} readable for the agent and a CA in PEM form, or correct \`caFile\`.`,
      },
    )
  }
}

/** Where a host's registry is reached. Docker Hub's name is not the address of its registry. */
export function originOf({ host, plainHttp }: HostOptions): URL {
  return new URL(`${plainHttp === true ? 'http' : 'https'}://${host === 'docker.io' ? 'registry-1.docker.io' : host}`)
}
