/** The ledger of upload sessions: what clients are pushing to the embedded registry, and how far each is known to be on the disk. SQL for store/. */
import type Database from 'better-sqlite3'
import type { DigestAlgorithm } from '../oci/digest.ts'

/** What is known about one upload session. */
export interface UploadRecord {
  readonly id: string
  readonly repository: string
  /** Of the digest that its blob will probably have; the digest at the end decides. */
  readonly algorithm: DigestAlgorithm
  /** Bytes that were synced to the disk before this was recorded: what a power loss leaves. */
  readonly synced: number
  /** The kernel's boot during which the file was last opened for writing. */
  readonly bootId: string | undefined
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly updatedAt: number
}

interface Row {
  id: string
  repository: string
  algorithm: string
  synced: number
  boot_id: string | null
  started_at: number
  updated_at: number
}

const columns = 'id, repository, algorithm, synced, boot_id, started_at, updated_at'

export class UploadRows {
  readonly #list: Database.Statement<[], Row>
  readonly #add: Database.Statement<[string, string, string, number, number]>
  readonly #open: Database.Statement<[string, number, string | null, number, string]>
  readonly #record: Database.Statement<[number, number, string]>
  readonly #remove: Database.Statement<[string]>
  readonly #now: () => number

  constructor(db: Database.Database, now: () => number = Date.now) {
    this.#list = db.prepare(`SELECT ${columns} FROM uploads ORDER BY updated_at`)
    this.#add = db.prepare(`INSERT INTO uploads (${columns}) VALUES (?, ?, ?, 0, NULL, ?, ?)`)
    this.#open = db.prepare('UPDATE uploads SET algorithm = ?, synced = ?, boot_id = ?, updated_at = ? WHERE id = ?')
    this.#record = db.prepare('UPDATE uploads SET synced = ?, updated_at = ? WHERE id = ?')
    this.#remove = db.prepare('DELETE FROM uploads WHERE id = ?')
    this.#now = now
  }

  /** All of them, the one that rested longest first. */
  list(): UploadRecord[] {
    return this.#list.all().map(toRecord)
  }

  add(id: string, repository: string, algorithm: DigestAlgorithm): void {
    const now = this.#now()
    this.#add.run(id, repository, algorithm, now, now)
  }

  /** Writes down that the session's file is being written from now on, during this boot. */
  open(id: string, facts: { algorithm: DigestAlgorithm; synced: number; bootId: string | undefined }): void {
    this.#open.run(facts.algorithm, facts.synced, facts.bootId ?? null, this.#now(), id)
  }

  /** Writes down that the first `synced` bytes are on the disk itself. Call it after the sync, never before. */
  record(id: string, synced: number): void {
    this.#record.run(synced, this.#now(), id)
  }

  remove(id: string): void {
    this.#remove.run(id)
  }
}

function toRecord(row: Row): UploadRecord {
  return {
    id: row.id,
    repository: row.repository,
    algorithm: row.algorithm === 'sha512' ? 'sha512' : 'sha256',
    synced: row.synced,
    bootId: row.boot_id ?? undefined,
    startedAt: row.started_at,
    updatedAt: row.updated_at,
  }
}
