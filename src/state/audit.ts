/**
 * The audit's records and the two ends of their chain. Triggers refuse to change a record, to remove one that stands behind the anchor,
 * and to move an end back. SQL for access/.
 */
import type Database from 'better-sqlite3'
import { inTransaction } from './transaction.ts'

/** One record. `at` is epoch milliseconds; `hash` covers all of it and the hash of the record before. */
export interface AuditRow {
  readonly seq: number
  readonly at: number
  readonly who: string
  readonly action: string
  readonly outcome: string
  readonly kind: string
  readonly namespace: string | null
  readonly name: string
  /** The address that the call came from; null for what the agent does by itself. */
  readonly origin: string | null
  /** JSON object. */
  readonly detail: string
  readonly hash: string
}

/** The newest record, and the newest one that was removed because of size or age: the chain is kept between them. */
export interface ChainRow {
  readonly headSeq: number
  readonly headHash: string
  readonly anchorSeq: number
  readonly anchorHash: string
}

/** Which records to list; what is absent doesn't restrict. Times are epoch milliseconds, `until` not included. */
export interface AuditFilter {
  readonly user?: string | undefined
  readonly action?: string | undefined
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly object?: string | undefined
  readonly outcome?: string | undefined
  readonly since?: number | undefined
  readonly until?: number | undefined
}

export class AuditRows {
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

  chain(): ChainRow {
    const row = this.#sql.chain.get()
    if (row === undefined) throw new Error('the database has no row for the chain of the audit')
    return row
  }

  /** Adds the next record and makes it the head. */
  add(row: AuditRow): void {
    const { seq, at, who, action, outcome, kind, namespace, name, origin, detail, hash } = row
    this.#sql.add.run(seq, at, who, action, outcome, kind, namespace, name, origin, detail, hash)
    this.#sql.setHead.run(seq, hash)
  }

  find(seq: number): AuditRow | undefined {
    return this.#sql.find.get(seq)
  }

  /** Records in order of their number, after `after`. */
  after(after: number, limit: number): AuditRow[] {
    return this.#sql.after.all(after, limit)
  }

  /** The newest first. */
  list(filter: AuditFilter, offset: number, limit: number): AuditRow[] {
    return this.#sql.list.all({ ...toParameters(filter), offset, limit })
  }

  count(filter: AuditFilter): number {
    return this.#sql.count.get(toParameters(filter))?.count ?? 0
  }

  /** The number of the first record that is from `since` or later; undefined when every one is older. */
  firstSince(since: number): number | undefined {
    return this.#sql.firstSince.get(since)?.seq
  }

  /** Removes every record up to `anchor`, which the chain then starts behind. */
  removeUpTo(anchor: Pick<AuditRow, 'seq' | 'hash'>): void {
    this.#sql.setAnchor.run(anchor.seq, anchor.hash)
    this.#sql.remove.run(anchor.seq)
  }
}

function toParameters(filter: AuditFilter) {
  const { user, action, kind, namespace, object, outcome, since, until } = filter
  return {
    user: user ?? null,
    action: action ?? null,
    kind: kind ?? null,
    namespace: namespace ?? null,
    object: object ?? null,
    outcome: outcome ?? null,
    since: since ?? null,
    until: until ?? null,
  }
}

type FilterParameters = ReturnType<typeof toParameters>

const columns = 'seq, at, who, action, outcome, kind, namespace, name, origin, detail, hash'
const filtered = `(@user IS NULL OR who = @user) AND (@action IS NULL OR action = @action)
  AND (@kind IS NULL OR kind = @kind) AND (@namespace IS NULL OR namespace = @namespace)
  AND (@object IS NULL OR name = @object) AND (@outcome IS NULL OR outcome = @outcome)
  AND (@since IS NULL OR at >= @since) AND (@until IS NULL OR at < @until)`

function prepare(db: Database.Database) {
  return {
    chain: db.prepare<[], ChainRow>(
      `SELECT head_seq AS headSeq, head_hash AS headHash, anchor_seq AS anchorSeq, anchor_hash AS anchorHash
         FROM audit_chain WHERE id = 1`,
    ),
    add: db.prepare<
      [number, number, string, string, string, string, string | null, string, string | null, string, string]
    >(`INSERT INTO audit (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    setHead: db.prepare<[number, string]>('UPDATE audit_chain SET head_seq = ?, head_hash = ? WHERE id = 1'),
    setAnchor: db.prepare<[number, string]>('UPDATE audit_chain SET anchor_seq = ?, anchor_hash = ? WHERE id = 1'),
    find: db.prepare<[number], AuditRow>(`SELECT ${columns} FROM audit WHERE seq = ?`),
    after: db.prepare<[number, number], AuditRow>(`SELECT ${columns} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?`),
    list: db.prepare<[FilterParameters & { offset: number; limit: number }], AuditRow>(
      `SELECT ${columns} FROM audit WHERE ${filtered} ORDER BY seq DESC LIMIT @limit OFFSET @offset`,
    ),
    count: db.prepare<[FilterParameters], { count: number }>(`SELECT count(*) AS count FROM audit WHERE ${filtered}`),
    firstSince: db.prepare<[number], { seq: number }>('SELECT seq FROM audit WHERE at >= ? ORDER BY seq LIMIT 1'),
    remove: db.prepare<[number]>('DELETE FROM audit WHERE seq <= ?'),
  }
}
