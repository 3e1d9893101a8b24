/**
 * Every table of every room, as an append-only list: entry n brings a database from version n to n + 1. An entry that was
 * released is never edited; a change is a new entry at the end. Used by database.ts alone.
 *
 * Times are epoch milliseconds, sizes and offsets bytes, digests `sha256:…`, documents JSON.
 */
import type Database from 'better-sqlite3'
import { access, folder, management } from './tables/management.ts'
import { plans } from './tables/plans.ts'
import { content, ingests, lifecycle, uploads } from './tables/store.ts'
import { knowledge, link, sourceHealth } from './tables/transfer.ts'

const migrations: readonly (readonly string[])[] = [
  [content, lifecycle, ingests, uploads, knowledge, plans, access, management, folder, link, sourceHealth],
]

/** The version that this agent writes. */
export const newestVersion = migrations.length

/** Brings a database from `version` to {@link newestVersion}: all of it, or nothing of the entry that failed. */
export function migrate(db: Database.Database, version: number): void {
  for (const [index, steps] of migrations.entries()) {
    if (index < version) continue
    const apply = db.transaction(() => {
      for (const step of steps) db.exec(step)
      db.pragma(`user_version = ${index + 1}`)
    })
    apply.immediate()
  }
}
