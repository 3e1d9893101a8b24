/** One way to say that changes belong together. Used by every part of the state that makes more than one. */
import type Database from 'better-sqlite3'

/** Runs `work` as one transaction: all of it, or nothing when it throws. Within another one, it is a part of that. */
export function inTransaction<T>(db: Database.Database, work: () => T): T {
  return db.inTransaction ? work() : db.transaction(work).immediate()
}
