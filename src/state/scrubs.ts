/** How far the scrub has come, and what it found damaged and not yet whole again. SQL for management/lifecycle. */
import type Database from 'better-sqlite3'
import { type Digest, parseDigest } from '../oci/digest.ts'

/** One round through everything that is stored. Times are epoch milliseconds. */
export interface ScrubRound {
  /** The last digest that was looked at; empty at the beginning. */
  readonly position: string
  readonly startedAt: number
  /** null while it goes on. */
  readonly finishedAt: number | null
  readonly checked: number
  readonly checkedBytes: number
  readonly damaged: number
}

export type DamageProblem = 'damaged' | 'missing' | 'unreadable'

export interface Damage {
  readonly digest: Digest
  readonly problem: DamageProblem
  readonly foundAt: number
  /** null: it was not tried yet. */
  readonly triedAt: number | null
  /** Why it could not be fetched again. */
  readonly error: string | null
}

export class ScrubRows {
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  round(): ScrubRound | undefined {
    return this.#sql.round.get()
  }

  setRound(round: ScrubRound): void {
    const { position, startedAt, finishedAt, checked, checkedBytes, damaged } = round
    this.#sql.setRound.run(position, startedAt, finishedAt, checked, checkedBytes, damaged)
  }

  damages(): Damage[] {
    return this.#sql.damages.all().map(row => ({ ...row, digest: parseDigest(row.digest) }))
  }

  addDamage(digest: Digest, problem: DamageProblem, foundAt: number): void {
    this.#sql.addDamage.run(digest, problem, foundAt)
  }

  setTried(digest: Digest, triedAt: number, error: string): void {
    this.#sql.setTried.run(triedAt, error, digest)
  }

  removeDamage(digest: Digest): void {
    this.#sql.removeDamage.run(digest)
  }
}

function prepare(db: Database.Database) {
  return {
    round: db.prepare<[], ScrubRound>(
      `SELECT position, started_at AS startedAt, finished_at AS finishedAt, checked, checked_bytes AS checkedBytes, damaged
       FROM scrub WHERE id = 1`,
    ),
    setRound: db.prepare<[string, number, number | null, number, number, number]>(
      `INSERT OR REPLACE INTO scrub (id, position, started_at, finished_at, checked, checked_bytes, damaged)
       VALUES (1, ?, ?, ?, ?, ?, ?)`,
    ),
    damages: db.prepare<
      [],
      { digest: string; problem: DamageProblem; foundAt: number; triedAt: number | null; error: string | null }
    >(
      'SELECT digest, problem, found_at AS foundAt, tried_at AS triedAt, error FROM damaged_content ORDER BY found_at, digest',
    ),
    addDamage: db.prepare<[string, string, number]>(
      `INSERT INTO damaged_content (digest, problem, found_at) VALUES (?, ?, ?)
       ON CONFLICT (digest) DO UPDATE SET problem = excluded.problem`,
    ),
    setTried: db.prepare<[number, string, string]>(
      'UPDATE damaged_content SET tried_at = ?, error = ? WHERE digest = ?',
    ),
    removeDamage: db.prepare<[string]>('DELETE FROM damaged_content WHERE digest = ?'),
  }
}
