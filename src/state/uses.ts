/** When manifests were last used: pulled, or named by a plan or Repository. SQL for store/ and management/. */
import type Database from 'better-sqlite3'
import { type Digest, parseDigest } from '../oci/digest.ts'

export interface Use {
  readonly repository: string
  readonly digest: Digest
  /** Epoch milliseconds. */
  readonly usedAt: number
}

export class UseRows {
  readonly #db: Database.Database
  readonly #record: Database.Statement<[string, string, number]>
  readonly #all: Database.Statement<[], { repository: string; digest: string; used_at: number }>

  constructor(db: Database.Database) {
    this.#db = db
    this.#record = db.prepare(
      `INSERT INTO manifest_uses (repository, digest, used_at) VALUES (?, ?, ?)
       ON CONFLICT (repository, digest) DO UPDATE SET used_at = excluded.used_at WHERE excluded.used_at > used_at`,
    )
    this.#all = db.prepare('SELECT repository, digest, used_at FROM manifest_uses')
  }

  /** Writes all of them down at once; an earlier time never replaces a later one. */
  record(uses: Iterable<Use>): void {
    this.#db
      .transaction(() => {
        for (const { repository, digest, usedAt } of uses) this.#record.run(repository, digest, usedAt)
      })
      .immediate()
  }

  all(): Use[] {
    return this.#all
      .all()
      .map(row => ({ repository: row.repository, digest: parseDigest(row.digest), usedAt: row.used_at }))
  }
}
