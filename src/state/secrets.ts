/** Secrets at rest: encrypted boxes by what they belong to. SQL for access/; what a box holds is known to the vault alone. */
import type Database from 'better-sqlite3'
import { inTransaction } from './transaction.ts'

export interface SecretRow {
  /** Whose secret it is, such as `RegistrySecret/default/harbor`. */
  readonly context: string
  readonly keyId: string
  readonly box: Buffer
}

export class SecretRows {
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

  put(row: SecretRow): void {
    this.#sql.put.run(row.context, row.keyId, row.box)
  }

  find(context: string): SecretRow | undefined {
    return this.#sql.find.get(context)
  }

  remove(context: string): void {
    this.#sql.remove.run(context)
  }

  list(): SecretRow[] {
    return this.#sql.list.all()
  }

  /** The keys that boxes were made with. */
  keyIds(): string[] {
    return this.#sql.keyIds.all().map(row => row.keyId)
  }
}

const columns = 'context, key_id AS keyId, box'

function prepare(db: Database.Database) {
  return {
    put: db.prepare<[string, string, Buffer]>('INSERT OR REPLACE INTO secrets (context, key_id, box) VALUES (?, ?, ?)'),
    find: db.prepare<[string], SecretRow>(`SELECT ${columns} FROM secrets WHERE context = ?`),
    remove: db.prepare<[string]>('DELETE FROM secrets WHERE context = ?'),
    list: db.prepare<[], SecretRow>(`SELECT ${columns} FROM secrets ORDER BY context`),
    keyIds: db.prepare<[], { keyId: string }>('SELECT DISTINCT key_id AS keyId FROM secrets ORDER BY key_id'),
  }
}
