/**
 * The state folder: one SQLite file with everything that must outlive the process, held by one process at a time.
 * Opened by the composition root and by commands that work without a daemon; the files beside this one hold its SQL.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { Logger } from 'pino'
import { StateError, toStateError } from './errors.ts'
import { migrate, newestVersion } from './migrations.ts'

export interface OpenStateOptions {
  readonly logger: Logger
}

/** How long to wait for a lock that another process is just letting go of, in milliseconds. */
const lockWaitMs = 500

/** Pages of the file that are kept in memory. The 16 MiB that this SQLite is built with are no faster here: the kernel has the file as well. */
const cacheKiB = 2 * 1024

/** The open state folder. Close it last: everything else writes into it until the end. */
export class State {
  readonly db: Database.Database
  /** Whether the database was newly made: the first start, or the file was lost. */
  readonly fresh: boolean
  readonly #lock: FolderLock

  constructor(db: Database.Database, fresh: boolean, lock: FolderLock) {
    this.db = db
    this.fresh = fresh
    this.#lock = lock
  }

  /** Puts on the disk what was committed without waiting for it; see unsynced.ts. @throws SqliteError, as where the disk is full. */
  sync(): void {
    this.db.pragma('wal_checkpoint(PASSIVE)')
  }

  /** Closes the database, then lets the folder go. Safe to call twice. */
  close(): void {
    try {
      this.db.close()
    } finally {
      this.#lock.release()
    }
  }
}

/**
 * Opens the state folder, makes it (mode 0700) where it is missing, and brings its database to this version.
 * @throws StateError when another process holds it, it can't be written, the disk is full, or the database is newer or damaged.
 */
export function openState(dir: string, options: OpenStateOptions): State {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const lock = FolderLock.take(dir)
    try {
      const { db, fresh } = openDatabase(dir)
      options.logger.debug({ dir, fresh, version: newestVersion }, 'state opened')
      return new State(db, fresh, lock)
    } catch (error) {
      lock.release()
      throw error
    }
  } catch (error) {
    throw toStateError(error, dir)
  }
}

function openDatabase(dir: string): { db: Database.Database; fresh: boolean } {
  const db = new Database(join(dir, 'agent.db'))
  try {
    const version = readVersion(db)
    // Before any write: a database from a newer agent stays as it is.
    if (version > newestVersion) {
      throw new StateError(
        'newer-version',
        dir,
        `the database in ${dir} has version ${version}, this agent knows versions up to ${newestVersion}`,
      )
    }
    const damage = String(db.pragma('quick_check(1)', { simple: true }))
    if (damage !== 'ok') throw new StateError('corrupt', dir, `the database ${dir}/agent.db is damaged: ${damage}`)
    db.pragma('journal_mode = WAL')
    // FULL, not WAL's usual NORMAL: a commit is on the disk before the promise that rests on it is made.
    db.pragma('synchronous = FULL')
    db.pragma('foreign_keys = ON')
    db.pragma('busy_timeout = 5000')
    db.pragma(`cache_size = -${cacheKiB}`)
    migrate(db, version)
    return { db, fresh: version === 0 }
  } catch (error) {
    db.close()
    throw error
  }
}

function readVersion(db: Database.Database): number {
  return Number(db.pragma('user_version', { simple: true }))
}

/**
 * One process per folder: an exclusive transaction, held open on a small second SQLite file. The kernel drops it with the
 * process, however that ends, so a kill -9 leaves nothing to clean up. The holder's pid stands in a file of its own, for the
 * message: opening and closing the locked file itself would drop the lock (POSIX record locks belong to the process).
 */
class FolderLock {
  readonly #file: Database.Database
  readonly #pidFile: string

  private constructor(file: Database.Database, pidFile: string) {
    this.#file = file
    this.#pidFile = pidFile
  }

  static take(dir: string): FolderLock {
    const pidFile = join(dir, 'agent.pid')
    const file = new Database(join(dir, 'agent.lock'), { timeout: lockWaitMs })
    try {
      file.exec('BEGIN EXCLUSIVE')
      writeFileSync(pidFile, `${process.pid}\n`)
    } catch (error) {
      file.close()
      if (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')) {
        throw new StateError('locked', dir, `the state folder ${dir} is in use by ${readHolder(pidFile)}`, error)
      }
      throw error
    }
    return new FolderLock(file, pidFile)
  }

  release(): void {
    if (!this.#file.open) return
    rmSync(this.#pidFile, { force: true })
    this.#file.close()
  }
}

function readHolder(pidFile: string): string {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'))
    if (Number.isInteger(pid) && pid > 0) return `process ${pid}`
  } catch {
    // The holder hasn't written it yet, or can't; the message does without.
  }
  return 'another process'
}
