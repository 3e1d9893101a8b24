/**
 * The connections to all hosts: who is trusted, how long is waited, and one request on the wire. Shared by the registries of a
 * {@link Registries}; nothing here knows credentials or redirects.
 */
import { readFile } from 'node:fs/promises'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { ImageError } from '../oci/errors.ts'
import { Answer, type WireAnswer } from './answer.ts'
import { Channel, type Method, type RequestBody } from './channel.ts'
import { type Doing, isReached, isSpoiltConnection, networkFailure } from './failures.ts'
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
  /** Told of every sign of life that comes, an answer's head or a refusal, with the host on whose behalf it was asked. */
  readonly onAnswer?: (host: string) => void
  /** Watches over what crosses; nobody without. */
  readonly line?: Line
}

type Trust = Pick<HostOptions, 'caFile' | 'insecureSkipVerify'>

export class Connections {
  readonly #options: ConnectionsOptions
  /** By trust. */
  readonly #channels = new Map<string, Promise<Channel>>()
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
      const channel = await this.#channelFor(request.url, owner, request.about)
      const response = await this.#exchange(request, channel, owner)
      this.#remember(request.url.origin)
      this.#options.onAnswer?.(owner.host)
      const { url, signal } = request
      const about = { ...request.about, answered: true }
      this.#options.line?.head(owner.host, headBytes(response.headers))
      return new Answer(response, { url, strayed, about, signal, passage: this.#passage(request, response, owner) })
    } catch (error) {
      request.signal.throwIfAborted()
      if (isReached(error)) this.#options.onAnswer?.(owner.host)
      throw networkFailure(error, request.url, request.about)
    }
  }

  /** Closes every connection, whatever is under way on it. */
  async close(): Promise<void> {
    this.#closed = true
    const channels = await Promise.allSettled(this.#channels.values())
    this.#channels.clear()
    await Promise.allSettled(
      channels.map(channel => (channel.status === 'fulfilled' ? channel.value.close() : undefined)),
    )
  }

  async #exchange(request: WireRequest, channel: Channel, owner: HostOptions): Promise<WireAnswer> {
    const repeatable = isRepeatable(request) && this.#answered.has(request.url.origin)
    try {
      return await this.#once(request, channel, owner)
    } catch (error) {
      if (!repeatable || request.signal.aborted || !isSpoiltConnection(error)) throw error
      return await this.#once(request, channel, owner)
    }
  }

  /** The way of the answer's body; a HEAD has none, whatever length it tells. */
  #passage({ method }: WireRequest, { headers }: WireAnswer, owner: HostOptions): Passage | undefined {
    if (method === 'HEAD') return undefined
    const length = Number(headers['content-length'])
    return this.#options.line?.body(owner.host, Number.isSafeInteger(length) ? length : undefined)
  }

  #once(request: WireRequest, channel: Channel, owner: HostOptions): Promise<WireAnswer> {
    const { method, url, headers, body, signal, answerTimeoutMs = 0 } = request
    const { onRequest, line, userAgent, stallTimeoutMs } = this.#options
    onRequest?.(owner.host)
    const sized: Record<string, string> = body === undefined ? {} : { 'content-length': String(body.length) }
    // Compressed answers would have to be unpacked before their digest can be checked, and Range would count other bytes.
    const own = { 'user-agent': userAgent, 'accept-encoding': 'identity', ...headers, ...sized }
    line?.head(owner.host, headBytes({ host: url.host, ...own }, method.length + url.pathname.length))
    const timeouts = { answerTimeoutMs: Math.max(stallTimeoutMs, answerTimeoutMs), stallTimeoutMs }
    return channel.send({ method, url, headers: own, body, signal, ...timeouts })
  }

  #channelFor(url: URL, owner: HostOptions, about: Doing): Promise<Channel> {
    const trust = this.#trustFor(url, owner)
    const key = `${trust.insecureSkipVerify === true} ${trust.caFile ?? ''}`
    const known = this.#channels.get(key)
    if (known !== undefined) return known
    const made = makeChannel(trust, url, about, this.#options.line)
    this.#channels.set(key, made)
    // A CA file that can't be read now may be there at the next try.
    made.catch(() => this.#channels.delete(key))
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

  #remember(origin: string): void {
    if (this.#answered.size >= 1000) this.#answered.clear()
    this.#answered.add(origin)
  }
}

async function makeChannel(
  { caFile, insecureSkipVerify }: Trust,
  url: URL,
  about: Doing,
  line: Line | undefined,
): Promise<Channel> {
  // Made once: from a list of certificates, every connection would parse all of them again.
  const secureContext = caFile === undefined ? undefined : await trusting(caFile, url, about)
  const mostAtOnce = () => line?.mostAtOnce ?? Number.POSITIVE_INFINITY
  return new Channel({ rejectUnauthorized: insecureSkipVerify !== true, secureContext, mostAtOnce })
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
