/**
 * Access tokens: created, verified at every call, revoked. A token is `eia_<id>_<secret>`; the secret is 32 random bytes, so its
 * SHA-256 is all that has to be stored: a slow hash protects what can be guessed, and 2^256 can't. Used by http/ and the commands.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Logger } from 'pino'
import { type Static, Type } from 'typebox'
import { Shape } from '../oci/shape.ts'
import type { State } from '../state/database.ts'
import { type TokenRow, TokenRows } from '../state/tokens.ts'
import { readAdminToken, writeAdminToken } from './admin-token.ts'
import type { Audit } from './audit.ts'
import type { AuditDetail } from './audit-detail.ts'
import { AccessError } from './errors.ts'
import { allows, type Caller, type Grant, isRole, roles } from './roles.ts'

export interface TokensOptions {
  readonly state: State
  /** Where changes of tokens are recorded. */
  readonly audit: Audit
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now?: () => number
}

/** A caller known by a token. */
export interface TokenCaller extends Caller {
  readonly tokenId: string
}

export interface NewToken {
  /** Whose it is, as the audit names the caller: unique among the tokens that are valid. */
  readonly name: string
  readonly grants: readonly Grant[]
  /** Epoch milliseconds; without it the token is valid until it is revoked. */
  readonly expiresAt?: number | undefined
}

/** A token as it is listed: everything but the secret, which nobody has but its owner. Times are epoch milliseconds. */
export interface TokenFacts {
  readonly id: string
  readonly name: string
  readonly grants: readonly Grant[]
  readonly state: 'valid' | 'expired' | 'revoked'
  readonly createdAt: number
  readonly createdBy: string
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  readonly revokedBy: string | null
  /** To within a minute. */
  readonly lastUsedAt: number | null
}

/** Who asks for a change of tokens. */
export interface By {
  readonly who: string
  /** The address of the call, if there was one. */
  readonly from?: string | undefined
}

export const maxLiveTokens = 1000
const endedTokensKept = 1000
/** A write per call would cost a disk sync each. */
const lastUsedStepMs = 60_000
const secretBytes = 32
const form = /^eia_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/
const namespacePattern = /^(?:\*|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)$/
const maxGrants = 100
/** Compared with where there is no such token, so that an unknown id takes as long as a wrong secret. */
const noHash = Buffer.alloc(32)

const GrantsShape = Type.Array(Type.Object({ role: Type.Enum([...roles]), namespace: Type.String() }))
const grantsShape = new Shape(GrantsShape)

export class Tokens {
  readonly #rows: TokenRows
  readonly #audit: Audit
  readonly #logger: Logger
  readonly #now: () => number

  constructor({ state, audit, logger, now = Date.now }: TokensOptions) {
    this.#rows = new TokenRows(state.db)
    this.#audit = audit
    this.#logger = logger
    this.#now = now
  }

  /**
   * Makes a token. The secret is what its owner sends; it is given here once and can't be read again.
   * @throws AccessError `invalid`, `name-taken`, `too-many`.
   */
  create(wanted: NewToken, by: By): { readonly id: string; readonly secret: string } {
    const token = makeToken()
    this.#add(token, wanted, by)
    return { id: token.id, secret: token.secret }
  }

  /** The caller that a secret belongs to; undefined for one that is unknown, wrong, expired or revoked. */
  verify(secret: string): TokenCaller | undefined {
    const [, id = ''] = form.exec(secret) ?? []
    const row = id === '' ? undefined : this.#rows.find(id)
    const right = timingSafeEqual(hashOf(secret), row?.hash ?? noHash)
    if (!right || row === undefined) return undefined
    return this.#use(row)
  }

  /** The caller of a token that was verified before, if it is still valid. */
  findCaller(id: string): TokenCaller | undefined {
    const row = this.#rows.find(id)
    return row && this.#use(row)
  }

  /** Every token, the newest first; of those that ended, the last 1000. */
  list(): TokenFacts[] {
    const now = this.#now()
    return this.#rows.list().map(row => toFacts(row, now))
  }

  /** Ends a token, at once. @throws AccessError `not-found` when there is none of that id that isn't revoked. */
  revoke(id: string, by: By): void {
    const now = this.#now()
    this.#rows.transaction(() => {
      const row = this.#rows.find(id)
      if (row === undefined || !this.#rows.revoke(id, by.who, now)) {
        throw new AccessError('not-found', `there is no token "${id}" to revoke`)
      }
      this.#record('tokens:delete', row.name, by, { tokenId: id })
    })
  }

  /**
   * On the first start, when there is no token yet, makes one for a cluster-wide image-admin and writes it to
   * `<stateDir>/admin-token`, readable by the agent's user alone. Later it leaves the file alone, since whoever took it
   * away meant to, and says what to do where no way in is left.
   */
  async ensureAdminToken(stateDir: string): Promise<void> {
    if (this.#rows.count() === 0) return this.#makeAdminToken(stateDir)
    const secret = await this.#readAdminToken(stateDir)
    if (secret !== undefined && this.verify(secret)) return
    const admins = this.list().filter(token => token.state === 'valid' && allows(toCaller(token), 'tokens:create'))
    const hint = 'stop the agent and run: edge-image-agent token create NAME --role image-admin --offline'
    if (admins.length === 0) this.#logger.warn({ hint }, 'no valid token can manage the agent')
    else if (secret !== undefined)
      this.#logger.warn({ hint }, 'the token in the file admin-token is not valid any more')
    else this.#logger.info({ hint }, 'there is no file admin-token: commands on this machine need --token')
  }

  /** The file is for the commands; that the agent itself can't read it any more is no reason not to serve. */
  async #readAdminToken(stateDir: string): Promise<string | undefined> {
    try {
      return await readAdminToken(stateDir)
    } catch (error) {
      this.#logger.warn({ err: error }, 'the file admin-token can not be read')
      return undefined
    }
  }

  async #makeAdminToken(stateDir: string): Promise<void> {
    const token = makeToken()
    // The file first: a stop in between leaves a file that the next start replaces, not a token that nobody has.
    await writeAdminToken(stateDir, token.secret)
    this.#add(token, { name: 'admin', grants: [{ role: 'image-admin', namespace: '*' }] }, { who: 'system' })
    this.#logger.info({ file: `${stateDir}/admin-token` }, 'the admin token was made')
  }

  #add(token: MadeToken, wanted: NewToken, by: By): void {
    const now = this.#now()
    checkWanted(wanted, now)
    const { name, grants, expiresAt } = wanted
    this.#rows.transaction(() => {
      if (this.#rows.findLive(name, now)) {
        throw new AccessError(
          'name-taken',
          `there is a valid token of the name "${name}": revoke it, or choose another name`,
        )
      }
      if (this.#rows.countLive(now) >= maxLiveTokens) {
        throw new AccessError('too-many', `there are ${maxLiveTokens} valid tokens: revoke those that are not needed`)
      }
      this.#rows.pruneEnded(endedTokensKept, now)
      const kept = grants.map(({ role, namespace }) => ({ role, namespace }))
      this.#rows.add({
        id: token.id,
        name,
        hash: hashOf(token.secret),
        grants: JSON.stringify(kept),
        createdAt: now,
        createdBy: by.who,
        expiresAt: expiresAt ?? null,
      })
      const detail = {
        tokenId: token.id,
        grants: kept.map(({ role, namespace }) => `${role} in ${namespace}`).join(', '),
        ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
      }
      this.#record('tokens:create', name, by, detail)
    })
  }

  #use(row: TokenRow): TokenCaller | undefined {
    const now = this.#now()
    const facts = toFacts(row, now)
    if (facts.state !== 'valid') return undefined
    if (row.lastUsedAt === null || Math.abs(now - row.lastUsedAt) >= lastUsedStepMs) this.#noteUse(row.id, now)
    return toCaller(facts)
  }

  /** A full disk must not lock people out, least of all those who come to free it. */
  #noteUse(id: string, now: number): void {
    try {
      this.#rows.setLastUsed(id, now)
    } catch (error) {
      this.#logger.warn({ err: error }, 'the last use of a token could not be noted')
    }
  }

  #record(action: 'tokens:create' | 'tokens:delete', name: string, { who, from }: By, detail: AuditDetail): void {
    this.#audit.record({
      who,
      action,
      object: { kind: 'Token', name },
      outcome: 'success',
      detail,
      ...(from === undefined ? {} : { from }),
    })
  }
}

interface MadeToken {
  readonly id: string
  readonly secret: string
}

function makeToken(): MadeToken {
  const id = randomBytes(8).toString('hex')
  return { id, secret: `eia_${id}_${randomBytes(secretBytes).toString('base64url')}` }
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function toCaller({ id, name, grants }: TokenFacts): TokenCaller {
  return { tokenId: id, name, grants }
}

function toFacts(row: TokenRow, now: number): TokenFacts {
  const { hash: _, grants, ...facts } = row
  return { ...facts, grants: readGrants(grants), state: stateOf(row, now) }
}

function stateOf(row: TokenRow, now: number): TokenFacts['state'] {
  if (row.revokedAt !== null) return 'revoked'
  return row.expiresAt !== null && row.expiresAt <= now ? 'expired' : 'valid'
}

/** A row that doesn't hold grants gives none: what can't be read allows nothing. */
function readGrants(text: string): Static<typeof GrantsShape> {
  const value: unknown = JSON.parse(text)
  return grantsShape.check(value) ? value : []
}

function checkWanted({ name, grants, expiresAt }: NewToken, now: number): void {
  const problems = [
    ...(namePattern.test(name)
      ? []
      : ['name: expected at most 63 letters, digits and ". _ @ -", starting with a letter or digit']),
    ...(grants.length > 0 && grants.length <= maxGrants ? [] : [`grants: expected 1 to ${maxGrants}`]),
    ...grants.flatMap(({ role, namespace }, at) => [
      ...(isRole(role) ? [] : [`grants[${at}].role: expected one of ${roles.join(', ')}`]),
      ...(namespacePattern.test(namespace) ? [] : [`grants[${at}].namespace: expected a namespace, or * for all`]),
    ]),
    ...(expiresAt === undefined || expiresAt > now ? [] : ['expiresAt: expected a time that is still to come']),
  ]
  if (problems.length > 0) throw new AccessError('invalid', problems.join('; '))
}
