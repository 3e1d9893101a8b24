/** The access tokens: whose they are, what they allow, and the hash of each one's secret. SQL for access/. */
import type Database from 'better-sqlite3'
import { inTransaction } from './transaction.ts'

/** Times are epoch milliseconds. */
export interface TokenRow {
  readonly id: string
  readonly name: string
  /** SHA-256 of the secret. */
  readonly hash: Buffer
  /** JSON: the grants. */
  readonly grants: string
  readonly createdAt: number
  readonly createdBy: string
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  readonly revokedBy: string | null
  readonly lastUsedAt: number | null
}

export class TokenRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  /** Runs `work` as one transaction: all of it, or nothing when it throws. */
  transaction<T>(work: () => T): T {
    return inTransaction(this.#db, work)
  }

  add(row: Pick<TokenRow, 'id' | 'name' | 'hash' | 'grants' | 'createdAt' | 'createdBy' | 'expiresAt'>): void {
    this.#sql.add.run(row.id, row.name, row.hash, row.grants, row.createdAt, row.createdBy, row.expiresAt)
  }

  find(id: string): TokenRow | undefined {
    return this.#sql.find.get(id)
  }

  /** The token of that name that is neither revoked nor expired. */
  findLive(name: string, now: number): TokenRow | undefined {
    return this.#sql.findLive.get(name, now)
  }

  /** The newest first, those that ended too. */
  list(): TokenRow[] {
    return this.#sql.list.all()
  }

  /** Tokens that are neither revoked nor expired. */
  countLive(now: number): number {
    return this.#sql.countLive.get(now)?.count ?? 0
  }

  count(): number {
    return this.#sql.count.get()?.count ?? 0
  }

  /** Answers false when there is no such token, or it is revoked already. */
  revoke(id: string, by: string, now: number): boolean {
    return this.#sql.revoke.run(now, by, id).changes > 0
  }

  setLastUsed(id: string, now: number): void {
    this.#sql.setLastUsed.run(now, id)
  }

  /** Forgets the oldest that ended, beyond `keep`. */
  pruneEnded(keep: number, now: number): void {
    this.#sql.pruneEnded.run(now, keep)
  }
}

const columns = `id, name, hash, grants, created_at AS createdAt, created_by AS createdBy, expires_at AS expiresAt,
  revoked_at AS revokedAt, revoked_by AS revokedBy, last_used_at AS lastUsedAt`

function prepare(db: Database.Database) {
  return {
    add: db.prepare<[string, string, Buffer, string, number, string, number | null]>(
      'INSERT INTO tokens (id, name, hash, grants, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    find: db.prepare<[string], TokenRow>(`SELECT ${columns} FROM tokens WHERE id = ?`),
    findLive: db.prepare<[string, number], TokenRow>(
      `SELECT ${columns} FROM tokens WHERE name = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)`,
    ),
    list: db.prepare<[], TokenRow>(`SELECT ${columns} FROM tokens ORDER BY created_at DESC, id`),
    countLive: db.prepare<[number], { count: number }>(
      'SELECT count(*) AS count FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)',
    ),
    count: db.prepare<[], { count: number }>('SELECT count(*) AS count FROM tokens'),
    revoke: db.prepare<[number, string, string]>(
      'UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL',
    ),
    setLastUsed: db.prepare<[number, string]>('UPDATE tokens SET last_used_at = ? WHERE id = ?'),
    pruneEnded: db.prepare<[number, number]>(
      `DELETE FROM tokens WHERE id IN (
         SELECT id FROM tokens WHERE revoked_at IS NOT NULL OR expires_at <= ?
          ORDER BY min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at)) DESC LIMIT -1 OFFSET ?)`,
    ),
  }
}
