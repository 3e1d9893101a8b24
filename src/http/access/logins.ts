/**
 * Who is calling: what the API and the registry's port have in common. A right token is let in; wrong ones are slowed down and put on
 * record, as are calls for which a right is missing.
 */
import type { Denials } from '../../access/denials.ts'
import type { LoginLimit } from '../../access/login-limit.ts'
import type { Caller, Right } from '../../access/roles.ts'
import type { TokenCaller, Tokens } from '../../access/tokens.ts'

export interface LoginsOptions {
  readonly tokens: Pick<Tokens, 'verify' | 'findCaller'>
  readonly limit: LoginLimit
  readonly denials: Pick<Denials, 'note'>
}

/** What came of the credentials of a call. */
export type Login =
  | { readonly outcome: 'none' }
  | { readonly outcome: 'known'; readonly caller: TokenCaller }
  | { readonly outcome: 'wrong' }
  /** Wrong, and again too early. */
  | { readonly outcome: 'wait'; readonly seconds: number }

/** What a denied call was about. */
export interface Asked {
  readonly kind: string
  readonly namespace?: string | undefined
  readonly name: string
}

export class Logins {
  readonly #options: LoginsOptions

  constructor(options: LoginsOptions) {
    this.#options = options
  }

  /** Checks the token that was shown, if one was. `at` is what it was shown to, for the record. */
  check(secret: string | undefined, { address, at }: { readonly address: string; readonly at: string }): Login {
    if (secret === undefined) return { outcome: 'none' }
    const { tokens, limit } = this.#options
    const caller = tokens.verify(secret)
    if (caller) {
      limit.succeed(address)
      return { outcome: 'known', caller }
    }
    const wait = limit.waitMs(address)
    if (wait > 0) return { outcome: 'wait', seconds: Math.ceil(wait / 1000) }
    limit.fail(address)
    this.deniedAnonymous(address, at, 'the token is not valid')
    return { outcome: 'wrong' }
  }

  /** The caller as he is now; undefined once his token has ended. For answers that take long. */
  refresh({ tokenId }: TokenCaller): TokenCaller | undefined {
    return this.#options.tokens.findCaller(tokenId)
  }

  /** Puts on record that somebody asked without a valid token. */
  deniedAnonymous(address: string, at: string, reason: string): void {
    const object = { kind: 'Login', name: at }
    this.#options.denials.note({ who: 'anonymous', action: 'login', object, from: address, detail: { reason } })
  }

  /** Puts on record that a caller asked for what he may not do. */
  denied(caller: Pick<Caller, 'name'>, right: Right, object: Asked, address: string): void {
    const detail = { right }
    this.#options.denials.note({ who: caller.name, action: right, object, from: address, detail })
  }
}

/** The token of `Authorization: Bearer <token>`. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
}

/** The password of `Authorization: Basic …`, whatever the user name. RFC 7617. */
export function basicPasswordOf(authorization: string | undefined): string | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]+) *$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : text.slice(colon + 1)
}
