/**
 * The ways to the hosts of one trust: what has no body goes over connections of our own, which content is read from without a copy of
 * each piece (wire/); what carries one, by undici. Both know neither credentials nor redirects. Used by connections.ts.
 */
import { Readable } from 'node:stream'
import type { SecureContext } from 'node:tls'
import type { Agent } from 'undici'
import type { WireAnswer } from './answer.ts'
import { WirePool } from './wire/wire-pool.ts'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Bytes in memory, or a stream that is opened anew for every try. */
export type RequestBody = Uint8Array | StreamBody

export interface StreamBody {
  /** Bytes. */
  readonly length: number
  readonly open: () => AsyncIterable<Uint8Array>
}

export interface ChannelRequest {
  readonly method: Method
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: RequestBody | undefined
  /** How long the answer's head may take. Milliseconds. */
  readonly answerTimeoutMs: number
  /** How long nothing may come while somebody waits for the body. Milliseconds. */
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal
}

export interface ChannelOptions {
  readonly rejectUnauthorized: boolean
  /** Whom to trust; the machine's roots without. */
  readonly secureContext?: SecureContext | undefined
  /** Asked before each read for the bytes that it may take from the kernel, of answers to requests without a body. */
  readonly mostAtOnce: () => number
}

/** Enough for every transfer that runs at once; a registry that gets more connections from one site only slows each. */
const connectionsPerOrigin = 16
const connectTimeoutMs = 15_000
/** Shorter than the idle times of common servers and balancers, so that a kept connection is seldom found closed. */
const keepAliveMs = 15_000
const maxKeepAliveMs = 4 * keepAliveMs

export class Channel {
  readonly #options: ChannelOptions
  readonly #wire: WirePool
  #agent: Promise<Agent> | undefined
  #isClosed = false

  constructor(options: ChannelOptions) {
    this.#options = options
    this.#wire = new WirePool({ ...options, connectionsPerOrigin, connectTimeoutMs, keepAliveMs, maxKeepAliveMs })
  }

  /** One request on the wire. @throws Error of the system, of TLS, of undici, or WireError; the signal's reason. */
  async send(request: ChannelRequest): Promise<WireAnswer> {
    if (this.#isClosed) throw new Error('the connections are closed')
    const { method, url, body } = request
    if (body !== undefined || (method !== 'GET' && method !== 'HEAD')) return await this.#sendBody(request)
    return await this.#wire.request({ ...request, method, origin: url, target: url.pathname + url.search })
  }

  /** Closes every connection, whatever is under way on it. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#wire.close()
    await (await this.#agent)?.destroy()
  }

  async #sendBody({ method, url, headers, body, answerTimeoutMs, stallTimeoutMs, signal }: ChannelRequest) {
    this.#agent ??= this.#makeAgent()
    const agent = await this.#agent
    const response = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers,
      body: body === undefined || body instanceof Uint8Array ? (body ?? null) : Readable.from(body.open()),
      signal,
      headersTimeout: answerTimeoutMs,
      bodyTimeout: stallTimeoutMs,
    })
    // An abort between the headers and the first read destroys the body; the reader meets the error, nobody else should.
    response.body.on('error', () => {})
    return { status: response.statusCode, headers: response.headers, body: response.body }
  }

  async #makeAgent(): Promise<Agent> {
    // Loaded for the first body: 3 MiB that an agent without an external registry does without.
    const { Agent } = await import('undici')
    const { rejectUnauthorized, secureContext } = this.#options
    return new Agent({
      allowH2: false,
      pipelining: 1,
      connections: connectionsPerOrigin,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: maxKeepAliveMs,
      connect: {
        timeout: connectTimeoutMs,
        rejectUnauthorized,
        ...(secureContext === undefined ? {} : { secureContext }),
      },
    })
  }
}
