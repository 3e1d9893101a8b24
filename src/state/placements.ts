/**
 * What the transfer remembers about the world outside, so that it need not ask again: what an external local registry holds,
 * and for which manifests upstream was asked about referrers. SQL for transfer/.
 */
import type Database from 'better-sqlite3'
import type { Digest } from '../oci/digest.ts'

/** Which content is known to be in which repository of the external registry. Knowledge, not truth: it can be taken back. */
export class Placements {
  readonly #has: Database.Statement<[string, string], { one: number }>
  readonly #add: Database.Statement<[string, string]>
  readonly #remove: Database.Statement<[string, string]>
  readonly #repositories: Database.Statement<[string], { repository: string }>

  constructor(db: Database.Database) {
    this.#has = db.prepare('SELECT 1 AS one FROM placements WHERE digest = ? AND repository = ?')
    this.#add = db.prepare('INSERT INTO placements (digest, repository) VALUES (?, ?) ON CONFLICT DO NOTHING')
    this.#remove = db.prepare('DELETE FROM placements WHERE digest = ? AND repository = ?')
    this.#repositories = db.prepare('SELECT repository FROM placements WHERE digest = ? ORDER BY repository LIMIT 1000')
  }

  has(repository: string, digest: Digest): boolean {
    return this.#has.get(digest, repository) !== undefined
  }

  add(repository: string, digest: Digest): void {
    this.#add.run(digest, repository)
  }

  remove(repository: string, digest: Digest): void {
    this.#remove.run(digest, repository)
  }

  /** Repositories that the content can be mounted from, at most 1000. */
  repositoriesOf(digest: Digest): string[] {
    return this.#repositories.all(digest).map(row => row.repository)
  }
}

/** The manifests whose referrers were asked for upstream, so that a second plan with the same image costs no request. */
export class ReferrerChecks {
  readonly #has: Database.Statement<[string], { one: number }>
  readonly #add: Database.Statement<[string, number]>
  readonly #now: () => number

  constructor(db: Database.Database, now: () => number = Date.now) {
    this.#has = db.prepare('SELECT 1 AS one FROM referrers_checked WHERE digest = ?')
    this.#add = db.prepare(
      `INSERT INTO referrers_checked (digest, checked_at) VALUES (?, ?)
       ON CONFLICT (digest) DO UPDATE SET checked_at = excluded.checked_at`,
    )
    this.#now = now
  }

  has(digest: Digest): boolean {
    return this.#has.get(digest) !== undefined
  }

  add(digest: Digest): void {
    this.#add.run(digest, this.#now())
  }
}
