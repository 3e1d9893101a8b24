/**
 * The API's door: every route says which right it takes, and a request without it gets no further. A route that doesn't say so
 * is a mistake that keeps the agent from starting. What a missing token (401), a missing right (403) and too many wrong tokens (429)
 * are answered with is the same everywhere.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { AuditEvent } from '../../access/audit.ts'
import { allows, type Caller, type Right, rights } from '../../access/roles.ts'
import type { By, TokenCaller } from '../../access/tokens.ts'
import { type Asked, basicPasswordOf, bearerOf, type Logins } from '../access/logins.ts'
import { ApiError } from './api-error.ts'
import { ErrorSchema } from './shapes.ts'

/** `open`: no token. `own`: a valid token, and the route itself asks for rights, since they hang on a namespace. */
export type RouteAccess = Right | 'open' | 'own'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a request needs to be let in. */
    access?: RouteAccess
  }
}

/** Pages for people are opened in a browser, which can ask for a token only as the password of a login. */
const pages = /^\/(?:docs(?:\/|$)|openapi\.json$)/

export interface ApiAccessOptions {
  readonly logins: Pick<Logins, 'check' | 'refresh' | 'denied' | 'deniedAnonymous'>
  readonly audit: { record(event: AuditEvent): void }
}

export class ApiAccess {
  readonly #options: ApiAccessOptions
  readonly #callers = new WeakMap<FastifyRequest, TokenCaller>()

  constructor(options: ApiAccessOptions) {
    this.#options = options
  }

  /** Guards every route that is added to the instance from now on. `own` are the paths whose routes ask for rights themselves. */
  guard(app: FastifyInstance, own: readonly string[]): void {
    app.addHook('onRoute', route => settle(route, own))
    app.addHook('onRequest', async (request, reply) => this.#enter(request, reply))
  }

  /** Who sent the request. */
  callerOf(request: FastifyRequest): Caller | undefined {
    return this.#callers.get(request)
  }

  /** Whether who sent the request has the right still: for answers that go on for hours. */
  mayStill(request: FastifyRequest, right: Right): boolean {
    const then = this.#callers.get(request)
    const now = then && this.#options.logins.refresh(then)
    return now !== undefined && allows(now, right)
  }

  /** Who asks, for changes that write their own record. */
  byOf(request: FastifyRequest): By {
    return { who: this.callerOf(request)?.name ?? 'anonymous', from: request.ip }
  }

  /** Puts on record what the caller has done. */
  record(request: FastifyRequest, event: Omit<AuditEvent, 'who' | 'from'>): void {
    this.#options.audit.record({ ...event, ...this.byOf(request) })
  }

  /** Puts on record that the caller asked for what he may not do. */
  denied(request: FastifyRequest, right: Right, object: Asked): void {
    const caller = this.callerOf(request) ?? { name: 'anonymous' }
    this.#options.logins.denied(caller, right, object, request.ip)
  }

  #enter(request: FastifyRequest, reply: FastifyReply): void {
    // A path that isn't there is told only to whoever may know what is.
    const access = request.is404 ? 'own' : request.routeOptions.config.access
    if (access === 'open') return
    const caller = this.#identify(request, reply)
    this.#callers.set(request, caller)
    if (access === 'own') return
    if (access !== undefined && allows(caller, access)) return
    const right = access ?? 'edge:read'
    this.denied(request, right, { kind: 'Call', name: nameOf(request) })
    throw new ApiError(403, 'FORBIDDEN', `"${caller.name}" may not do this: the right ${right} is missing`)
  }

  /** @throws ApiError 401, 429. */
  #identify(request: FastifyRequest, reply: FastifyReply): TokenCaller {
    const { authorization } = request.headers
    const isPage = pages.test(request.routeOptions.url ?? '')
    const challenge = isPage
      ? 'Basic realm="edge-image-agent: a token is the password"'
      : 'Bearer realm="edge-image-agent"'
    const secret = bearerOf(authorization) ?? (isPage ? basicPasswordOf(authorization) : undefined)
    const address = request.ip
    const login = this.#options.logins.check(secret, { address, at: 'api' })
    if (login.outcome === 'known') return login.caller
    if (login.outcome === 'none') {
      // A browser asks for a page without a token first; that is no attempt.
      if (!isPage) this.#options.logins.deniedAnonymous(address, 'api', 'no token was sent')
      void reply.header('www-authenticate', challenge)
      throw new ApiError(401, 'UNAUTHORIZED', 'this call needs a token: send "Authorization: Bearer <token>"')
    }
    if (login.outcome === 'wait') {
      void reply.header('retry-after', login.seconds)
      throw new ApiError(429, 'TOO_MANY_LOGINS', `too many wrong tokens came from ${address}: wait ${login.seconds} s`)
    }
    void reply.header('www-authenticate', isPage ? challenge : `${challenge}, error="invalid_token"`)
    throw new ApiError(401, 'UNAUTHORIZED', 'the token is not valid: it is wrong, has expired or was revoked')
  }
}

/** Settles what a route needs, and says so in its description. @throws Error for a route that doesn't say. */
function settle(route: RouteOptions, own: readonly string[]): void {
  const access = route.config?.access ?? accessByPath(route.url, own)
  if (access === undefined) throw new Error(`the route ${route.url} does not say who may use it`)
  route.config = { ...route.config, access }
  if (access === 'own' || route.schema === undefined) return
  const { response } = route.schema
  if (access === 'open') {
    route.schema = { ...route.schema, security: [] }
    return
  }
  const errors = { 401: ErrorSchema, 403: ErrorSchema, 429: ErrorSchema }
  const described = typeof response === 'object' ? { ...errors, ...response } : errors
  const description = `Needs the right \`${access}\`: ${rights[access].allows}.`
  route.schema = { description, ...route.schema, response: described }
}

/** Routes that a plugin adds can't say it themselves. */
function accessByPath(url: string, own: readonly string[]): RouteAccess | undefined {
  if (pages.test(url)) return 'edge:read'
  return own.some(path => url.startsWith(path)) ? 'own' : undefined
}

function nameOf(request: FastifyRequest): string {
  return `${request.method} ${request.routeOptions.url ?? ''}`
}
