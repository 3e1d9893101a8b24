/** What an external local registry is known to hold, so that content is mounted and not sent again. Used by the engine, through agent.ts. */
import type Database from 'better-sqlite3'
import type { Digest } from '../oci/digest.ts'
import { withoutSync } from './unsynced.ts'

/** Which content is known to be in which repository of the external registry. Knowledge, not truth: it can be taken back. */
export class Placements {
  readonly #db: Database.Database
  readonly #has: Database.Statement<[string, string], { one: number }>
  readonly #add: Database.Statement<[string, string]>
  readonly #remove: Database.Statement<[string, string]>
  readonly #repositories: Database.Statement<[string], { repository: string }>

  readonly #everywhere: Database.Statement<[], { repository: string }>

  constructor(db: Database.Database) {
    this.#db = db
    this.#everywhere = db.prepare('SELECT DISTINCT repository FROM placements ORDER BY repository')
    this.#has = db.prepare('SELECT 1 AS one FROM placements WHERE digest = ? AND repository = ?')
    this.#add = db.prepare('INSERT INTO placements (digest, repository) VALUES (?, ?) ON CONFLICT DO NOTHING')
    this.#remove = db.prepare('DELETE FROM placements WHERE digest = ? AND repository = ?')
    this.#repositories = db.prepare('SELECT repository FROM placements WHERE digest = ? ORDER BY repository LIMIT 1000')
  }

  has(repository: string, digest: Digest): boolean {
    return this.#has.get(digest, repository) !== undefined
  }

  add(repository: string, digest: Digest): void {
    withoutSync(this.#db, () => this.#add.run(digest, repository))
  }

  remove(repository: string, digest: Digest): void {
    this.#remove.run(digest, repository)
  }

  /** Every repository that this agent has put something into. */
  repositories(): string[] {
    return this.#everywhere.all().map(row => row.repository)
  }

  /** Repositories that the content can be mounted from, at most 1000. */
  repositoriesOf(digest: Digest): string[] {
    return this.#repositories.all(digest).map(row => row.repository)
  }
}
