/**
 * The messages that wait for the broker: statuses of plans, in order, until each is acknowledged. SQL for plans/.
 */
import type Database from 'better-sqlite3'

/**
 * `interim` and `terminal` statuses are retained by the broker; a `refusal` answers a bad plan beside one that stands, and is
 * not; a `clear` takes the retained status away.
 */
export type OutboxKind = 'interim' | 'terminal' | 'refusal' | 'clear'

export interface OutboxRow {
  readonly id: number
  readonly plan: string
  /** Of the status; null for a clear. */
  readonly seq: number | null
  readonly kind: OutboxKind
  readonly payload: string
}

export class OutboxRows {
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  add(row: Omit<OutboxRow, 'id'>): void {
    this.#sql.add.run(row.plan, row.seq, row.kind, row.payload)
  }

  /** Drops the oldest `interim` statuses of a plan beyond `keep`. */
  pruneInterim(plan: string, keep: number): void {
    this.#sql.pruneInterim.run(plan, plan, keep)
  }

  /** The oldest messages after `after`, in order. */
  list(after: number, limit: number): OutboxRow[] {
    return this.#sql.list.all(after, limit)
  }

  find(id: number): OutboxRow | undefined {
    return this.#sql.find.get(id)
  }

  /** Whether the status of this number waits. */
  has(plan: string, seq: number): boolean {
    return this.#sql.has.get(plan, seq) !== undefined
  }

  remove(id: number): void {
    this.#sql.remove.run(id)
  }

  /** Drops the oldest refusals beyond `keep`. */
  pruneRefusals(keep: number): void {
    this.#sql.pruneRefusals.run(keep)
  }

  count(): number {
    return this.#sql.count.get()?.count ?? 0
  }
}

function prepare(db: Database.Database) {
  return {
    add: db.prepare<[string, number | null, string, string]>(
      'INSERT INTO outbox (plan, seq, kind, payload) VALUES (?, ?, ?, ?)',
    ),
    pruneInterim: db.prepare<[string, string, number]>(
      `DELETE FROM outbox WHERE plan = ? AND kind = 'interim' AND id <= (SELECT id FROM outbox
         WHERE plan = ? AND kind = 'interim' ORDER BY id DESC LIMIT 1 OFFSET ?)`,
    ),
    list: db.prepare<[number, number], OutboxRow>(
      'SELECT id, plan, seq, kind, payload FROM outbox WHERE id > ? ORDER BY id LIMIT ?',
    ),
    find: db.prepare<[number], OutboxRow>('SELECT id, plan, seq, kind, payload FROM outbox WHERE id = ?'),
    has: db.prepare<[string, number], { id: number }>('SELECT id FROM outbox WHERE plan = ? AND seq = ?'),
    remove: db.prepare<[number]>('DELETE FROM outbox WHERE id = ?'),
    pruneRefusals: db.prepare<[number]>(
      `DELETE FROM outbox WHERE kind = 'refusal'
         AND id <= (SELECT id FROM outbox WHERE kind = 'refusal' ORDER BY id DESC LIMIT 1 OFFSET ?)`,
    ),
    count: db.prepare<[], { count: number }>('SELECT count(*) AS count FROM outbox'),
  }
}
