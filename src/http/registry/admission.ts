/** Lets a request in or answers why not: which methods a path has, and what {@link Authorize} says. Used by app.ts. */
import type { FastifyRequest } from 'fastify'
import type { AccessDecision, Authorize, RegistryAccess, RegistryAction, RequestFacts } from './authorize.ts'
import { type FaultCode, RegistryFault } from './fault.ts'
import type { RegistryPath } from './path.ts'

const methods: Record<RegistryPath['kind'], readonly string[]> = {
  base: ['GET', 'HEAD'],
  catalog: ['GET', 'HEAD'],
  tags: ['GET', 'HEAD'],
  referrers: ['GET', 'HEAD'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'PATCH', 'PUT', 'DELETE'],
}

/** @throws RegistryFault 405 for a method that means nothing at this path. */
export function checkMethod(method: string, { kind }: RegistryPath): void {
  if (methods[kind].includes(method)) return
  throw new RegistryFault(405, 'UNSUPPORTED', `there is no ${method} at this path`, {
    headers: { allow: methods[kind].join(', ') },
  })
}

/** What a request does, for whom it may concern. Who pushes may also ask how far an upload is, and cancel it. */
export function accessOf(method: string, path: RegistryPath): RegistryAccess {
  if (path.kind === 'base') return { action: 'pull', base: true }
  if (path.kind === 'catalog') return { action: 'pull' }
  return { action: actionOf(method, path.kind), repository: path.repository }
}

function actionOf(method: string, kind: RegistryPath['kind']): RegistryAction {
  if (kind === 'upload' || kind === 'uploads') return 'push'
  if (method === 'DELETE') return 'delete'
  return method === 'PUT' ? 'push' : 'pull'
}

/** Asks for one access. */
export async function decide(
  request: FastifyRequest,
  access: RegistryAccess,
  authorize: Authorize,
): Promise<AccessDecision> {
  return await authorize(factsOf(request), access)
}

/** What a decision is made from. */
export function factsOf(request: FastifyRequest): RequestFacts {
  const { authorization } = request.headers
  return { authorization, remoteAddress: request.ip, origin: originOf(request) }
}

/**
 * A proxy that ends TLS in front of this port says so; the way back, from https to http, nobody may tell, since credentials are sent to
 * what is built on this. A name that is none can't be put into a challenge.
 */
function originOf({ protocol, host, headers }: FastifyRequest): string {
  const scheme = headers['x-forwarded-proto'] === 'https' ? 'https' : protocol
  return `${scheme}://${/^[A-Za-z0-9._:[\]-]{1,300}$/.test(host) ? host : 'localhost'}`
}

/** Answers who the caller is, where that is known. @throws RegistryFault 401, 403 or 429. */
export async function admit(
  request: FastifyRequest,
  access: RegistryAccess,
  authorize: Authorize,
): Promise<string | undefined> {
  const decision = await decide(request, access, authorize)
  if (decision.outcome === 'allow') return decision.caller
  throw refuse(decision, { ...access })
}

/** The fault for a decision that lets nobody in. */
export function refuse(
  decision: Exclude<AccessDecision, { outcome: 'allow' }>,
  detail: Readonly<Record<string, unknown>>,
): RegistryFault {
  const [status, code] = refusals[decision.outcome]
  return new RegistryFault(status, code, decision.message, { detail, headers: refusalHeaders(decision) })
}

const refusals: Record<'challenge' | 'deny' | 'limit', readonly [number, FaultCode]> = {
  challenge: [401, 'UNAUTHORIZED'],
  deny: [403, 'DENIED'],
  limit: [429, 'TOOMANYREQUESTS'],
}

function refusalHeaders(decision: Exclude<AccessDecision, { outcome: 'allow' }>): Record<string, string> {
  if (decision.outcome === 'challenge') return { 'www-authenticate': decision.wwwAuthenticate }
  return decision.outcome === 'limit' ? { 'retry-after': String(decision.retryAfterSeconds) } : {}
}
