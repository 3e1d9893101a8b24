/**
 * Passes: what the Bearer flow of docker and containerd hands to a client in place of its token, good for some minutes. A pass says only
 * whose it is; the rights are asked for at every use, so a token that is revoked takes its passes along. Signed with a key that lives as
 * long as the process: after a restart clients ask for new ones by themselves. Used by http/access/.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { TokenCaller, Tokens } from './tokens.ts'

export interface PassesOptions {
  readonly tokens: Pick<Tokens, 'findCaller'>
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** How long a pass is good for. Docker takes 60 s where a server doesn't say. */
export const passSeconds = 300
const form = /^eip_(anonymous|[0-9a-f]{16})_([0-9]{1,15})_([A-Za-z0-9_-]{43})$/
const anonymous = 'anonymous'

export class Passes {
  readonly #tokens: Pick<Tokens, 'findCaller'>
  readonly #now: () => number
  readonly #key = randomBytes(32)

  constructor({ tokens, now = Date.now }: PassesOptions) {
    this.#tokens = tokens
    this.#now = now
  }

  /** A pass for a caller; for whoever has no token, without one. */
  issue(caller: TokenCaller | undefined): string {
    const owner = caller?.tokenId ?? anonymous
    const expiresAt = String(Math.floor(this.#now() / 1000) + passSeconds)
    return `eip_${owner}_${expiresAt}_${this.#sign(owner, expiresAt).toString('base64url')}`
  }

  /** Whose pass it is; undefined for one that is wrong, expired, or whose token has ended. */
  verify(pass: string): TokenCaller | 'anonymous' | undefined {
    const [, owner = '', expiresAt = '', signature = ''] = form.exec(pass) ?? []
    if (owner === '') return undefined
    if (!timingSafeEqual(Buffer.from(signature, 'base64url'), this.#sign(owner, expiresAt))) return undefined
    if (Number(expiresAt) * 1000 <= this.#now()) return undefined
    return owner === anonymous ? anonymous : this.#tokens.findCaller(owner)
  }

  #sign(owner: string, expiresAt: string): Buffer {
    return createHmac('sha256', this.#key).update(`${owner}\n${expiresAt}`).digest()
  }
}
