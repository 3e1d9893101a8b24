/**
 * Requests to one registry: its address, proof of who we are, redirects, and answers that are not wanted turned into errors.
 * The pulls, pushes, referrers and tags of a registry all go through here. Waiting and trying again is the caller's.
 */
import { type ErrorCode, ImageError, type Side } from '../oci/errors.ts'
import type { Answer } from './answer.ts'
import { parseChallenges } from './challenge.ts'
import type { Method, RequestBody } from './channel.ts'
import type { Connections, HostOptions, WireRequest } from './connections.ts'
import { answerError, type Subject } from './errors.ts'
import type { Doing } from './failures.ts'
import { sendFollowing } from './redirects.ts'
import type { Authorizer } from './tokens.ts'

export interface TransportOptions {
  readonly host: HostOptions
  /** `https://registry.example:5000`. */
  readonly origin: string
  readonly side: Side
  readonly connections: Connections
  readonly authorizer: Authorizer
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** A request as the parts of the registry make it. */
export interface Ask {
  readonly method: Method
  /** A path with its query below the registry's origin, or a whole address that the registry named. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: RequestBody
  /** `repository:mecm/web:pull`. */
  readonly scopes: readonly string[]
  readonly subject: Subject
  /** For errors: `fetch blob sha256:0123… of mecm/web`. */
  readonly doing: string
  /** Statuses that the caller handles; any other is thrown. */
  readonly expect: readonly number[]
  readonly answerTimeoutMs?: number
  readonly signal: AbortSignal
}

export class Transport {
  readonly #options: TransportOptions

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /**
   * Sends, answers one 401, follows redirects. The caller owns the answer's body.
   * @throws ImageError for a status that isn't expected and every failure of the network, or the signal's reason.
   */
  async send(ask: Ask): Promise<Answer> {
    const about: Doing = { doing: ask.doing, side: this.#options.side }
    const url = new URL(ask.url, this.#options.origin)
    const { method, headers = {}, body, signal, answerTimeoutMs } = ask
    const request: WireRequest = {
      method,
      url,
      headers,
      about,
      signal,
      ...(body === undefined ? {} : { body }),
      ...(answerTimeoutMs === undefined ? {} : { answerTimeoutMs }),
    }
    const answer = await this.#sendWithProof(request, ask, about)
    if (ask.expect.includes(answer.status)) return answer
    throw await answerError(answer, ask.subject, about, this.#options.now)
  }

  /** An error of this registry for something that an answer's content says. */
  error(code: ErrorCode, message: string, doing: string, hint?: string): ImageError {
    const { host, side } = this.#options
    const about = { doing, side, host: host.host, answered: true }
    return new ImageError(code, message, { ...about, ...(hint === undefined ? {} : { hint }) })
  }

  /** Makes the error of an expected answer after all; see {@link answerError}. */
  refusal(answer: Answer, ask: Pick<Ask, 'subject' | 'doing'>): Promise<ImageError> {
    return answerError(answer, ask.subject, { doing: ask.doing, side: this.#options.side }, this.#options.now)
  }

  get side(): Side {
    return this.#options.side
  }

  get origin(): string {
    return this.#options.origin
  }

  /**
   * An address that the registry named in its answer to a request for `from`; undefined for one that isn't http. A registry
   * behind a proxy that ends TLS often names itself by http: that is taken as its own origin.
   */
  resolveUrl(location: string, from = '/'): URL | undefined {
    const base = new URL(this.#options.origin)
    const url = URL.parse(location, new URL(from, base).href)
    if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) return undefined
    if (url.protocol === 'http:' && base.protocol === 'https:' && url.hostname === base.hostname) {
      url.protocol = base.protocol
      url.port = base.port
    }
    return url
  }

  async #sendWithProof(request: WireRequest, ask: Ask, about: Doing): Promise<Answer> {
    const { connections, authorizer, host, origin } = this.#options
    // A session's address may be another host's: it is not one that our proof is for.
    if (request.url.origin !== origin) return await sendFollowing(connections, host, request, undefined)
    const proof = await authorizer.current(ask.scopes, about, ask.signal)
    const answer = await sendFollowing(connections, host, request, proof)
    if (answer.status !== 401 || answer.strayed) return answer
    const challenges = parseChallenges(answer.headerLines('www-authenticate'))
    const refused = await answerError(answer, ask.subject, about, this.#options.now)
    const answered = { ...about, answered: true }
    const renewed = await authorizer.renew(challenges, ask.scopes, proof, answered, ask.signal)
    if (renewed === undefined) throw refused
    return await sendFollowing(connections, host, { ...request, about: answered }, renewed)
  }
}
