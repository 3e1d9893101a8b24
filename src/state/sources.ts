/** Image sources: where they are, and how the last check of each went. SQL for management/; their passwords are in secrets.ts. */
import type Database from 'better-sqlite3'
import { listRows, nextVersion, type ObjectRow, objectColumns, type RowQuery } from './managed-objects.ts'

export type VerifyStatus = 'untested' | 'success' | 'failed'

export interface SourceRow extends ObjectRow {
  readonly provider: string
  readonly domain: string
  /** null: anonymous. */
  readonly username: string | null
  readonly verifyStatus: VerifyStatus
  readonly verifyMessage: string
  /** Epoch milliseconds; null before the first check. */
  readonly verifiedAt: number | null
  readonly latencyMs: number | null
  /** Epoch milliseconds. */
  readonly verifyDueAt: number
}

/** How a check went. */
export interface VerifyResult {
  readonly status: VerifyStatus
  readonly message: string
  /** Epoch milliseconds. */
  readonly at: number
  readonly latencyMs: number | null
}

export class SourceRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  find(namespace: string, name: string): SourceRow | undefined {
    return this.#sql.find.get(namespace, name)
  }

  list(query: RowQuery): { rows: SourceRow[]; total: number } {
    return listRows<SourceRow>(this.#db, 'sources', columns, query)
  }

  add(row: Omit<SourceRow, 'version'>): void {
    const { namespace, name, uid, createdAt, annotations, labels, search, provider, domain, username } = row
    const meta = [namespace, name, uid, nextVersion(this.#db), createdAt, annotations, labels, search] as const
    const check = [row.verifyStatus, row.verifyMessage, row.verifiedAt, row.latencyMs, row.verifyDueAt] as const
    this.#sql.add.run(...meta, provider, domain, username, ...check)
  }

  setMetadata(row: Pick<SourceRow, 'uid' | 'annotations' | 'labels' | 'search'>): void {
    this.#sql.setMetadata.run(row.annotations, row.labels, row.search, nextVersion(this.#db), row.uid)
  }

  /** Writes down a check. The version changes only with what a reader would call a change: the status or the message. */
  setVerified(uid: string, { status, message, at, latencyMs }: VerifyResult): void {
    const same = this.#sql.isVerified.get(uid, status, message) !== undefined
    const version = same ? null : nextVersion(this.#db)
    this.#sql.setVerified.run(status, message, at, latencyMs, version, uid)
  }

  setVerifyDue(uid: string, at: number): void {
    this.#sql.setVerifyDue.run(at, uid)
  }

  /** Sources whose check is due, the longest overdue first. */
  dueToVerify(now: number, limit: number): SourceRow[] {
    return this.#sql.due.all(now, limit)
  }

  /** Of every namespace, each once. */
  names(): string[] {
    return this.#sql.names.all().map(row => row.name)
  }

  remove(uid: string): void {
    this.#sql.remove.run(uid)
    nextVersion(this.#db)
  }
}

const columns = `${objectColumns}, provider, domain, username, verify_status AS verifyStatus, verify_message AS verifyMessage,
  verified_at AS verifiedAt, latency_ms AS latencyMs, verify_due_at AS verifyDueAt`

type Texts = [string, string, string, number, number, string, string, string, string, string, string | null]

function prepare(db: Database.Database) {
  return {
    find: db.prepare<[string, string], SourceRow>(`SELECT ${columns} FROM sources WHERE namespace = ? AND name = ?`),
    add: db.prepare<[...Texts, string, string, number | null, number | null, number]>(
      `INSERT INTO sources (namespace, name, uid, version, created_at, annotations, labels, search, provider, domain, username,
         verify_status, verify_message, verified_at, latency_ms, verify_due_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    setMetadata: db.prepare<[string, string, string, number, string]>(
      'UPDATE sources SET annotations = ?, labels = ?, search = ?, version = ? WHERE uid = ?',
    ),
    isVerified: db.prepare<[string, string, string]>(
      'SELECT 1 FROM sources WHERE uid = ? AND verify_status = ? AND verify_message = ?',
    ),
    setVerified: db.prepare<[string, string, number, number | null, number | null, string]>(
      `UPDATE sources SET verify_status = ?, verify_message = ?, verified_at = ?, latency_ms = ?,
         version = coalesce(?, version) WHERE uid = ?`,
    ),
    setVerifyDue: db.prepare<[number, string]>('UPDATE sources SET verify_due_at = ? WHERE uid = ?'),
    due: db.prepare<[number, number], SourceRow>(
      `SELECT ${columns} FROM sources WHERE verify_due_at <= ? ORDER BY verify_due_at LIMIT ?`,
    ),
    names: db.prepare<[], Pick<SourceRow, 'name'>>('SELECT DISTINCT name FROM sources ORDER BY name'),
    remove: db.prepare<[string]>('DELETE FROM sources WHERE uid = ?'),
  }
}
