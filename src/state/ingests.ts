/** The ledger of blobs that are still arriving: how far each one is known to be on the disk. SQL for store/. */
import type Database from 'better-sqlite3'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { withoutSync } from './unsynced.ts'

/** What is known about one ingest. */
export interface IngestRecord {
  readonly digest: Digest
  /** Bytes of the whole blob. */
  readonly size: number
  /** Bytes that were synced to the disk before this was recorded: what a power loss leaves. */
  readonly synced: number
  /** The kernel's boot during which the file was last opened for writing. */
  readonly bootId: string | undefined
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly updatedAt: number
}

interface Row {
  digest: string
  size: number
  synced: number
  boot_id: string | null
  started_at: number
  updated_at: number
}

const columns = 'digest, size, synced, boot_id, started_at, updated_at'

/** A row that a power loss takes back costs bytes, never trust: it tells of less than is there, and the digest has the last word. */
export class Ingests {
  readonly #db: Database.Database
  readonly #find: Database.Statement<[string], Row>
  readonly #list: Database.Statement<[], Row>
  readonly #open: Database.Statement<[string, number, number, string | null, number, number]>
  readonly #record: Database.Statement<[number, number, string]>
  readonly #remove: Database.Statement<[string]>
  readonly #now: () => number

  constructor(db: Database.Database, now: () => number = Date.now) {
    this.#db = db
    this.#find = db.prepare(`SELECT ${columns} FROM ingests WHERE digest = ?`)
    this.#list = db.prepare(`SELECT ${columns} FROM ingests ORDER BY updated_at`)
    this.#open = db.prepare(
      `INSERT INTO ingests (${columns}) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (digest) DO UPDATE SET size = excluded.size, synced = excluded.synced, boot_id = excluded.boot_id,
         updated_at = excluded.updated_at`,
    )
    this.#record = db.prepare('UPDATE ingests SET synced = ?, updated_at = ? WHERE digest = ?')
    this.#remove = db.prepare('DELETE FROM ingests WHERE digest = ?')
    this.#now = now
  }

  find(digest: Digest): IngestRecord | undefined {
    const row = this.#find.get(digest)
    return row && toRecord(row)
  }

  /** All of them, the one that rested longest first. */
  list(): IngestRecord[] {
    return this.#list.all().map(toRecord)
  }

  /** Writes down that the ingest is being written from now on, during this boot. */
  open(digest: Digest, facts: { size: number; synced: number; bootId: string | undefined }): void {
    const now = this.#now()
    withoutSync(this.#db, () => this.#open.run(digest, facts.size, facts.synced, facts.bootId ?? null, now, now))
  }

  /** Writes down that the first `synced` bytes are on the disk itself. Call it after the sync, never before. */
  record(digest: Digest, synced: number): void {
    withoutSync(this.#db, () => this.#record.run(synced, this.#now(), digest))
  }

  remove(digest: Digest): void {
    withoutSync(this.#db, () => this.#remove.run(digest))
  }
}

function toRecord(row: Row): IngestRecord {
  return {
    digest: parseDigest(row.digest),
    size: row.size,
    synced: row.synced,
    bootId: row.boot_id ?? undefined,
    startedAt: row.started_at,
    updatedAt: row.updated_at,
  }
}
