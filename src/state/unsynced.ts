/**
 * Commits that don't wait for the disk, for facts that only save work: a kill -9 leaves them, a power loss may take the newest.
 * Used by the files of this room that are written for every blob.
 */
import type Database from 'better-sqlite3'

/**
 * Runs one statement or transaction and commits it into the write-ahead log without a sync. The log is synced as a whole by the next
 * commit that does wait, so nothing is durable without what was written before it.
 */
export function withoutSync<T>(db: Database.Database, work: () => T): T {
  if (db.inTransaction) return work() // which decides for itself when it is committed
  db.exec('PRAGMA synchronous = NORMAL') // exec, not pragma(): no statement is made for an answer that there isn't
  try {
    return work()
  } finally {
    db.exec('PRAGMA synchronous = FULL')
  }
}
