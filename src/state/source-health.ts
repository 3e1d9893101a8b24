/** How upstream hosts did, remembered across restarts: their speed, and which of them rest. SQL for transfer/source-health.ts. */
import type Database from 'better-sqlite3'

/** What is known about one host. Times are epoch milliseconds. */
export interface HealthRecord {
  readonly host: string
  /** Content received, and the milliseconds that it took: both decayed, so that only their ratio and their recent weight mean something. */
  readonly bytes: number
  readonly busyMs: number
  /** When that was last measured; 0: never. */
  readonly measuredAt: number
  /** Failures in a row. */
  readonly failures: number
  /** Asked last until then. */
  readonly restingUntil: number
  /** Sent wrong content: not asked for blobs until then while anyone else has them. */
  readonly asideUntil: number
  readonly why: string | null
  readonly updatedAt: number
}

interface Row {
  host: string
  bytes: number
  busy_ms: number
  measured_at: number
  failures: number
  resting_until: number
  aside_until: number
  why: string | null
  updated_at: number
}

/** Plans can name any host; the newest of so many are kept. */
const maxRows = 200

export class HealthRows {
  readonly #list: Database.Statement<[], Row>
  readonly #put: Database.Statement<[Row]>
  readonly #prune: Database.Statement<[number]>

  constructor(db: Database.Database) {
    this.#list = db.prepare('SELECT * FROM source_health ORDER BY updated_at')
    this.#put = db.prepare(
      `INSERT OR REPLACE INTO source_health
       VALUES (@host, @bytes, @busy_ms, @measured_at, @failures, @resting_until, @aside_until, @why, @updated_at)`,
    )
    this.#prune = db.prepare(
      'DELETE FROM source_health WHERE host IN (SELECT host FROM source_health ORDER BY updated_at DESC LIMIT -1 OFFSET ?)',
    )
  }

  /** All of them, the one that was heard of least recently first. */
  list(): HealthRecord[] {
    return this.#list.all().map(row => ({
      host: row.host,
      bytes: row.bytes,
      busyMs: row.busy_ms,
      measuredAt: row.measured_at,
      failures: row.failures,
      restingUntil: row.resting_until,
      asideUntil: row.aside_until,
      why: row.why,
      updatedAt: row.updated_at,
    }))
  }

  put(record: HealthRecord): void {
    this.#put.run({
      host: record.host,
      bytes: record.bytes,
      busy_ms: record.busyMs,
      measured_at: record.measuredAt,
      failures: record.failures,
      resting_until: record.restingUntil,
      aside_until: record.asideUntil,
      why: record.why,
      updated_at: record.updatedAt,
    })
    this.#prune.run(maxRows)
  }
}
