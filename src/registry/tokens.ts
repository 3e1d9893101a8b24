/**
 * Proof of who we are, for one registry: nothing, Basic, or Bearer tokens by scope. Learned from the first 401, kept, and renewed
 * before it runs out. Used by transport.ts.
 * Distribution's token authentication specification ("token", "oauth"); RFC 6750.
 */
import { Type } from 'typebox'
import { ImageError } from '../oci/errors.ts'
import { Shape } from '../oci/shape.ts'
import type { Challenge } from './challenge.ts'
import type { Connections, HostOptions, WireRequest } from './connections.ts'
import type { Credentials } from './credentials.ts'
import { answerError } from './errors.ts'
import type { Doing } from './failures.ts'
import { sendFollowing } from './redirects.ts'

export interface AuthorizerOptions {
  readonly host: HostOptions
  readonly connections: Connections
  readonly credentials: () => Promise<Credentials | undefined>
  /** Ends token requests when the registries are closed. */
  readonly closing: AbortSignal
  /** A token request that takes longer is given up. Milliseconds. */
  readonly timeoutMs: number
  /** Epoch milliseconds. */
  readonly now: () => number
}

interface Token {
  readonly header: string
  /** Epoch milliseconds; not used from then on. */
  readonly staleAt: number
}

type Scheme = { readonly kind: 'basic'; readonly header: string } | (TokenServer & { readonly kind: 'bearer' })

interface TokenServer {
  readonly realm: URL
  readonly service: string | undefined
}

const TokenText = Type.Optional(Type.String({ maxLength: 64 * 1024 }))
const tokenAnswer = new Shape(
  Type.Object({ token: TokenText, access_token: TokenText, expires_in: Type.Optional(Type.Number()) }),
)
const maxTokenAnswer = 256 * 1024
const maxTokens = 500
/** What the specification says to assume where `expires_in` is missing. */
const defaultLifeSeconds = 60
const maxLifeSeconds = 24 * 60 * 60
const clientId = 'edge-image-agent'

export class Authorizer {
  readonly #options: AuthorizerOptions
  #scheme: Scheme | undefined
  /** By scope. Insertion order is age. */
  readonly #tokens = new Map<string, Token>()
  /** Token requests under way, by scope: everyone who needs the same one waits for it. */
  readonly #underWay = new Map<string, Promise<Token>>()

  constructor(options: AuthorizerOptions) {
    this.#options = options
  }

  /**
   * The `Authorization` to send with a first try, as far as the registry's ways are known; undefined before the first 401, and
   * where a token is needed after a token server has failed.
   */
  async current(scopes: readonly string[], about: Doing, signal: AbortSignal): Promise<string | undefined> {
    const scheme = this.#scheme
    if (scheme?.kind === 'basic') return scheme.header
    const kept = this.#tokens.get(scopeKey(scopes))
    if (kept !== undefined && kept.staleAt > this.#options.now()) return kept.header
    return scheme && (await this.#fresh(scheme, scopes, [], about, signal))
  }

  /**
   * Answers a 401: the `Authorization` for the one further try, or undefined if there is nothing new to show.
   * @param refused what was sent with the request that was answered 401.
   * @throws ImageError from the token server, or the signal's reason.
   */
  async renew(
    challenges: readonly Challenge[],
    scopes: readonly string[],
    refused: string | undefined,
    about: Doing,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const bearer = challenges.find(challenge => challenge.scheme === 'bearer' && challenge.parameters.has('realm'))
    if (bearer !== undefined) {
      const server = this.#tokenServer(bearer, about)
      this.#scheme = { kind: 'bearer', ...server }
      const kept = this.#tokens.get(scopeKey(scopes))
      // Another request has renewed it meanwhile.
      if (kept !== undefined && kept.header !== refused && kept.staleAt > this.#options.now()) return kept.header
      this.#tokens.delete(scopeKey(scopes))
      return await this.#fresh(server, scopes, splitScopes(bearer.parameters.get('scope')), about, signal)
    }
    if (!challenges.some(challenge => challenge.scheme === 'basic')) return undefined
    const credentials = await this.#options.credentials()
    if (credentials?.kind !== 'basic') return undefined
    const header = basic(credentials)
    if (header === refused) return undefined
    this.#scheme = { kind: 'basic', header }
    return header
  }

  async #fresh(
    server: TokenServer,
    scopes: readonly string[],
    demanded: readonly string[],
    about: Doing,
    signal: AbortSignal,
  ): Promise<string> {
    const key = scopeKey(scopes)
    const pending = this.#underWay.get(key) ?? this.#start(key, server, [...new Set([...scopes, ...demanded])], about)
    return (await unlessAborted(pending, signal)).header
  }

  #start(key: string, server: TokenServer, scopes: readonly string[], about: Doing): Promise<Token> {
    const pending = this.#fetchToken(server, scopes, about)
      .then(token => {
        this.#keep(key, token)
        return token
      })
      .catch(error => {
        // The registry may name another server by now, or has done so; and only by asking it first is it known to be there.
        if (isSameServer(this.#scheme, server)) this.#scheme = undefined
        throw error
      })
      .finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, pending)
    // Everyone who waits may have gone by the time it fails.
    pending.catch(() => {})
    return pending
  }

  #keep(key: string, token: Token): void {
    this.#tokens.delete(key)
    this.#tokens.set(key, token)
    for (const oldest of this.#tokens.keys()) {
      if (this.#tokens.size <= maxTokens) break
      this.#tokens.delete(oldest)
    }
  }

  async #fetchToken(server: TokenServer, scopes: readonly string[], about: Doing): Promise<Token> {
    const { connections, host, now, closing, timeoutMs } = this.#options
    // Shared by several requests, so it doesn't end with the one that happened to start it.
    const signal = AbortSignal.any([closing, AbortSignal.timeout(timeoutMs)])
    const credentials = await this.#options.credentials()
    const { request, authorization } = tokenRequest(server, scopes, credentials, { about, signal })
    const asked = now()
    try {
      const answer = await sendFollowing(connections, host, request, authorization)
      if (answer.status !== 200) throw await answerError(answer, 'token', about, now)
      return readToken(await answer.read(maxTokenAnswer), asked, server, about)
    } catch (error) {
      if (error instanceof ImageError || !signal.aborted || closing.aborted) throw error
      const message = `${server.realm.host}: no token within ${timeoutMs} ms`
      throw new ImageError('TIMEOUT', message, { ...about, cause: error, host: server.realm.host })
    }
  }

  /**
   * The token server that a registry names may be anywhere, and gets this registry's credentials: that is what the protocol is
   * (docker.io names auth.docker.io). The registry's word is good for that as far as its own connection is: after https, the realm
   * must be https, too. A host that the operator set to plain http could be impersonated anyway, and asked for Basic directly,
   * so an http realm tells a listener nothing more.
   */
  #tokenServer(challenge: Challenge, about: Doing): TokenServer {
    const realm = URL.parse(challenge.parameters.get('realm') ?? '')
    const allowed = this.#options.host.plainHttp === true ? ['https:', 'http:'] : ['https:']
    if (realm === null || !allowed.includes(realm.protocol) || realm.username !== '' || realm.password !== '') {
      throw new ImageError(
        'UNAUTHORIZED',
        `${this.#options.host.host} names a token server that is not an https address`,
        {
          ...about,
          host: this.#options.host.host,
          hint: 'The token server (auth.token.realm of the registry) has to be an https address; correct the registry.',
        },
      )
    }
    return { realm, service: challenge.parameters.get('service') }
  }
}

function isSameServer(scheme: Scheme | undefined, { realm, service }: TokenServer): boolean {
  return scheme?.kind === 'bearer' && scheme.realm.href === realm.href && scheme.service === service
}

function tokenRequest(
  { realm, service }: TokenServer,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  rest: { about: Doing; signal: AbortSignal },
): { request: WireRequest; authorization: string | undefined } {
  const url = new URL(realm)
  if (credentials?.kind !== 'identity') {
    if (service !== undefined) url.searchParams.set('service', service)
    for (const scope of scopes) url.searchParams.append('scope', scope)
    const authorization = credentials === undefined ? undefined : basic(credentials)
    return { request: { method: 'GET', url, headers: { accept: 'application/json' }, ...rest }, authorization }
  }
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: clientId,
    refresh_token: credentials.token,
  })
  if (service !== undefined) form.set('service', service)
  if (scopes.length > 0) form.set('scope', scopes.join(' '))
  const body = Buffer.from(form.toString())
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
  return { request: { method: 'POST', url, headers, body, ...rest }, authorization: undefined }
}

function readToken(body: Uint8Array | undefined, asked: number, server: TokenServer, about: Doing): Token {
  const document = parse(body)
  const value = tokenAnswer.check(document) ? document.token || document.access_token : undefined
  if (value === undefined || !tokenAnswer.check(document) || !/^[\x21-\x7e]+$/.test(value)) {
    const message = `${server.realm.host} answered the request for a token with something else`
    throw new ImageError('UNAVAILABLE', message, { ...about, host: server.realm.host, answered: true })
  }
  const life = Math.min(Math.max(document.expires_in ?? defaultLifeSeconds, 0), maxLifeSeconds)
  // A tenth early, for the way there and clocks that differ, but no more than half a minute.
  const margin = Math.min(life / 10, 30)
  return { header: `Bearer ${value}`, staleAt: asked + (life - margin) * 1000 }
}

function parse(body: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(Buffer.from(body ?? []).toString())
  } catch {
    return undefined
  }
}

/** The value of `Authorization`. RFC 7617. */
export function basic(credentials: Extract<Credentials, { kind: 'basic' }>): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
}

function scopeKey(scopes: readonly string[]): string {
  return [...scopes].sort().join(' ')
}

/** A challenge's scopes, bounded: they go into the next request's address. */
function splitScopes(text: string | undefined): readonly string[] {
  return text === undefined || text.length > 4096 ? [] : text.split(' ').filter(scope => scope !== '')
}

async function unlessAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const stop = () => reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([pending, promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
