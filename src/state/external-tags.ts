/** What was seen in an external registry: its API tells no dates, so the first sight of a tag's content counts as its date. SQL for management/lifecycle. */
import type Database from 'better-sqlite3'
import { type Digest, parseDigest } from '../oci/digest.ts'

export interface SeenTag {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
  /** Epoch milliseconds. */
  readonly seenAt: number
}

export class ExternalTagRows {
  readonly #db: Database.Database
  readonly #see: Database.Statement<[string, string, string, number]>
  readonly #of: Database.Statement<[string], { repository: string; tag: string; digest: string; seenAt: number }>
  readonly #remove: Database.Statement<[string, string]>

  constructor(db: Database.Database) {
    this.#db = db
    this.#see = db.prepare(
      `INSERT INTO external_tags (repository, tag, digest, seen_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, seen_at = excluded.seen_at
         WHERE digest <> excluded.digest`,
    )
    this.#of = db.prepare('SELECT repository, tag, digest, seen_at AS seenAt FROM external_tags WHERE repository = ?')
    this.#remove = db.prepare('DELETE FROM external_tags WHERE repository = ? AND tag = ?')
  }

  /** Writes down what a repository holds now, forgets what it no longer holds, and gives each with its date. */
  see(repository: string, tags: ReadonlyMap<string, Digest>, now: number): SeenTag[] {
    return this.#db
      .transaction(() => {
        for (const [tag, digest] of tags) this.#see.run(repository, tag, digest, now)
        const rows = this.#of.all(repository)
        for (const { tag } of rows) if (!tags.has(tag)) this.#remove.run(repository, tag)
        return rows.filter(row => tags.has(row.tag)).map(row => ({ ...row, digest: parseDigest(row.digest) }))
      })
      .immediate()
  }
}
