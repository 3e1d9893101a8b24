/**
 * Who may do what on the registry's port, from tokens and roles: the decision that the routes ask for, and the token service of the Bearer
 * flow that docker and containerd speak. Tokens are taken as Basic password with any user name, as Bearer token, and as a pass of that flow.
 * https://distribution.github.io/distribution/spec/auth/token/
 */
import { type Passes, passSeconds } from '../../access/passes.ts'
import { allows, type Right } from '../../access/roles.ts'
import type { TokenCaller } from '../../access/tokens.ts'
import type { AccessDecision, RegistryAccess, RequestFacts } from '../registry/authorize.ts'
import type { PassAnswer } from '../registry/token-route.ts'
import { basicPasswordOf, bearerOf, type Logins } from './logins.ts'

export interface RegistryAccessOptions {
  readonly logins: Logins
  readonly passes: Passes
  /** Whether reading needs no token. */
  readonly anonymousPull: boolean
  /** Whether there is anything to log in for but reading. */
  readonly push: boolean
}

type Identity = TokenCaller | 'anonymous' | Extract<AccessDecision, { outcome: 'challenge' | 'limit' }>

const at = 'registry'

export class RegistryGate {
  readonly #options: RegistryAccessOptions

  constructor(options: RegistryAccessOptions) {
    this.#options = options
  }

  /** Decides one access. */
  readonly authorize = async (request: RequestFacts, access: RegistryAccess): Promise<AccessDecision> => {
    const { anonymousPull } = this.#options
    const isBase = access.base === true
    if (access.action === 'pull' && anonymousPull && !isBase) return { outcome: 'allow' }
    const identity = this.#identify(request, access)
    if (typeof identity === 'object' && 'outcome' in identity) return identity
    if (identity === 'anonymous') return this.#decideAnonymous(request, access, isBase)
    const right: Right = `registry:${access.action}`
    if (isBase || allows(identity, right)) return { outcome: 'allow', caller: identity.name }
    const object = { kind: 'Registry', name: access.repository ?? '' }
    this.#options.logins.denied(identity, right, object, request.remoteAddress)
    return {
      outcome: 'deny',
      message: `"${identity.name}" may not ${access.action} here: the right ${right} is missing`,
    }
  }

  /** `GET /token`: a pass for whoever shows a token as Basic password; without one, for those who may read anonymously. */
  readonly issuePass = async (request: RequestFacts): Promise<PassAnswer> => {
    const { authorization, remoteAddress } = request
    if (authorization === undefined && this.#options.anonymousPull) return this.#pass(undefined)
    const login = this.#options.logins.check(basicPasswordOf(authorization), { address: remoteAddress, at })
    if (login.outcome === 'known') return this.#pass(login.caller)
    return login.outcome === 'wait' ? tooEarly(login.seconds) : basicChallenge
  }

  #pass(caller: TokenCaller | undefined): PassAnswer {
    return { outcome: 'pass', pass: this.#options.passes.issue(caller), expiresInSeconds: passSeconds }
  }

  /**
   * Without credentials: the base tells clients that there is something to log in for, since docker asks nowhere else; and lets in a
   * client that got its anonymous pass.
   */
  #decideAnonymous(request: RequestFacts, access: RegistryAccess, isBase: boolean): AccessDecision {
    const { anonymousPull, push } = this.#options
    const hasPass = request.authorization !== undefined
    if (isBase && anonymousPull && (hasPass || !push)) return { outcome: 'allow' }
    return challenge(request, access)
  }

  /** Who it is: a caller, anonymous without credentials or with an anonymous pass, or the answer to wrong ones. */
  #identify(request: RequestFacts, access: RegistryAccess): Identity {
    const { authorization, remoteAddress } = request
    if (authorization === undefined) return 'anonymous'
    const { logins, passes } = this.#options
    const bearer = bearerOf(authorization)
    const pass = bearer?.startsWith('eip_') ? passes.verify(bearer) : undefined
    if (pass !== undefined) return pass
    // A pass that has expired is no failed login: the client gets another one.
    if (bearer?.startsWith('eip_')) return challenge(request, access)
    const secret = bearer ?? basicPasswordOf(authorization) ?? ''
    const login = logins.check(secret, { address: remoteAddress, at })
    if (login.outcome === 'known') return login.caller
    return login.outcome === 'wait' ? tooEarly(login.seconds) : challenge(request, access)
  }
}

const basicChallenge = {
  outcome: 'challenge',
  wwwAuthenticate: 'Basic realm="edge-image-agent", charset="UTF-8"',
  message: 'show a token of this agent as the password; the user name does not matter',
} as const

function challenge(
  { origin }: RequestFacts,
  access: RegistryAccess,
): Extract<AccessDecision, { outcome: 'challenge' }> {
  const scope = scopeOf(access)
  return {
    outcome: 'challenge',
    wwwAuthenticate: `Bearer realm="${origin}/token",service="edge-image-agent"${scope === '' ? '' : `,scope="${scope}"`}`,
    message: 'log in with a token of this agent as the password; the user name does not matter',
  }
}

/** What a client asks a pass for. Ours don't hang on it, but clients expect it. */
function scopeOf({ action, repository }: RegistryAccess): string {
  if (repository === undefined) return ''
  return `repository:${repository}:${action === 'push' ? 'pull,push' : action}`
}

function tooEarly(seconds: number): Extract<AccessDecision, { outcome: 'limit' }> {
  return {
    outcome: 'limit',
    retryAfterSeconds: seconds,
    message: `too many wrong tokens came from this address: wait ${seconds} s`,
  }
}
