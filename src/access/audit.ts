/**
 * What was done, by whom, and what was denied: an append-only list in which every record carries the hash of the one before, so that
 * a record that was changed or taken away is found. The end of the chain is kept beside it, so that records missing there are found, too.
 */
import { createHash } from 'node:crypto'
import type { Logger } from 'pino'
import { type AuditFilter, type AuditRow, AuditRows, type ChainRow } from '../state/audit.ts'
import type { State } from '../state/database.ts'
import { type AuditDetail, allowedDetail } from './audit-detail.ts'
import type { Right } from './roles.ts'

/** A right that was used or denied; or a login that failed. */
export type AuditAction = Right | 'login'
export type AuditOutcome = 'success' | 'failure' | 'denied'

/** Something that was done, or was asked for and denied. */
export interface AuditEvent {
  /** The caller's name; `system` for what the agent does by itself, `anonymous` for whoever showed no valid token. */
  readonly who: string
  readonly action: AuditAction
  readonly object: { readonly kind: string; readonly namespace?: string | undefined; readonly name: string }
  readonly outcome: AuditOutcome
  /** Only the fields that audit-detail.ts allows are kept. */
  readonly detail?: AuditDetail | undefined
  /** The address that the call came from. */
  readonly from?: string | undefined
}

/** A record as it is listed and exported. `hash` is the SHA-256 of this document, as compact JSON in this order, without `hash` itself. */
export interface AuditRecord {
  readonly seq: number
  /** RFC 3339. */
  readonly at: string
  readonly who: string
  readonly action: string
  readonly object: { readonly kind: string; readonly namespace: string | null; readonly name: string }
  readonly outcome: string
  readonly from: string | null
  readonly detail: AuditDetail
  /** The hash of the record before. */
  readonly previous: string
  readonly hash: string
}

/** What a check of the chain has found. */
export type Verification = {
  /** Records that are as they were written. */
  readonly checked: number
  /** The first number that is kept: what was before went because of size or age. */
  readonly firstSeq: number
  /** When the first record that is kept was written, RFC 3339; null when there is none. */
  readonly since: string | null
  /** The end of the chain: noted elsewhere, it proves later that nothing up to it was rewritten. */
  readonly head: { readonly seq: number; readonly hash: string }
} & (
  | { readonly ok: true }
  /** `brokenAt` is the number of the first record that is not as it was written. */
  | { readonly ok: false; readonly brokenAt: number; readonly reason: 'changed' | 'missing' | 'unknown' }
)

export interface AuditQuery extends AuditFilter {
  /** From 1. */
  readonly page?: number | undefined
  /** Records on a page, at most 1000. */
  readonly limit?: number | undefined
}

export interface AuditOptions {
  readonly state: State
  readonly logger: Logger
  /** Records to keep at most. */
  readonly maxRecords?: number
  /** How long records are kept, in milliseconds. */
  readonly maxAgeMs?: number
  /** Epoch milliseconds. */
  readonly now?: () => number
}

const dayMs = 24 * 60 * 60_000
/** Between two batches of a long list the process attends to everything else. */
const batch = 500
const maxText = 300

export class Audit {
  readonly #rows: AuditRows
  readonly #options: Required<Omit<AuditOptions, 'state'>>

  constructor({ state, ...options }: AuditOptions) {
    this.#rows = new AuditRows(state.db)
    this.#options = { maxRecords: 100_000, maxAgeMs: 365 * dayMs, now: Date.now, ...options }
  }

  /** Writes a record. It is on the disk when this returns, or goes with the transaction that it is part of. */
  record(event: AuditEvent): void {
    this.#rows.transaction(() => {
      const { headSeq, headHash, anchorSeq } = this.#rows.chain()
      const row = toRow(event, headSeq + 1, this.#options.now())
      this.#rows.add({ ...row, hash: hashOf(row, headHash) })
      // A tenth above the limit, so that pruning isn't part of every call.
      if (headSeq + 1 - anchorSeq > this.#options.maxRecords * 1.1) this.#pruneBySize()
    })
  }

  /** Records that fit the query, the newest first, and how many there are over all pages. */
  list(query: AuditQuery = {}): { readonly items: readonly AuditRecord[]; readonly totalItems: number } {
    const { page = 1, limit = 100, ...filter } = query
    const size = Math.min(Math.max(1, limit), 1000)
    const rows = this.#rows.list(filter, (Math.max(1, page) - 1) * size, size)
    return { items: rows.map(row => toRecord(row, this.#hashBefore(row.seq))), totalItems: this.#rows.count(filter) }
  }

  /** Proves the chain from its first kept record to its end. */
  async verify(): Promise<Verification> {
    let chain = this.#rows.chain()
    let [seq, hash] = [chain.anchorSeq, chain.anchorHash]
    let checked = 0
    let since: string | null = null
    for (;;) {
      const rows = this.#rows.after(seq, batch)
      chain = this.#rows.chain()
      if (chain.anchorSeq > seq) {
        // Pruned meanwhile: the proof starts anew behind the anchor.
        ;[seq, hash, checked, since] = [chain.anchorSeq, chain.anchorHash, 0, null]
        continue
      }
      const found = (fault: { brokenAt: number; reason: 'changed' | 'missing' | 'unknown' } | undefined) =>
        toVerification(chain, { checked, since }, fault)
      for (const row of rows) {
        if (row.seq !== seq + 1) return found({ brokenAt: seq + 1, reason: 'missing' })
        if (row.seq > chain.headSeq) return found({ brokenAt: row.seq, reason: 'unknown' })
        if (row.hash !== hashOf(row, hash)) return found({ brokenAt: row.seq, reason: 'changed' })
        ;[seq, hash] = [row.seq, row.hash]
        since ??= new Date(row.at).toISOString()
        checked += 1
      }
      if (rows.length < batch) {
        if (seq < chain.headSeq) return found({ brokenAt: seq + 1, reason: 'missing' })
        return found(hash === chain.headHash ? undefined : { brokenAt: seq, reason: 'changed' })
      }
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Every record, the oldest first, as lines of JSON. Records that are pruned on the way are left out. */
  async *export(): AsyncGenerator<string> {
    let [seq, hash] = [0, '']
    for (;;) {
      const rows = this.#rows.after(seq, batch)
      for (const row of rows) {
        const previous = row.seq === seq + 1 && hash !== '' ? hash : this.#hashBefore(row.seq)
        yield `${JSON.stringify(toRecord(row, previous))}\n`
        ;[seq, hash] = [row.seq, row.hash]
      }
      if (rows.length < batch) return
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Removes what is too old or too much. What stays is still proven: the chain keeps the hash of the last one that went. */
  prune(now: number = this.#options.now()): void {
    this.#rows.transaction(() => {
      const { headSeq } = this.#rows.chain()
      const firstKept = this.#rows.firstSince(now - this.#options.maxAgeMs) ?? headSeq + 1
      this.#removeUpTo(firstKept - 1)
      this.#pruneBySize()
    })
  }

  #pruneBySize(): void {
    this.#removeUpTo(this.#rows.chain().headSeq - this.#options.maxRecords)
  }

  #removeUpTo(seq: number): void {
    const { anchorSeq } = this.#rows.chain()
    if (seq <= anchorSeq) return
    const last = this.#rows.find(seq)
    // A gap is for verify() to tell of; to prune over it would hide it.
    if (last === undefined) return
    this.#rows.removeUpTo(last)
    this.#options.logger.info({ records: seq - anchorSeq, upTo: seq }, 'the oldest records of the audit were removed')
  }

  #hashBefore(seq: number): string {
    const { anchorSeq, anchorHash } = this.#rows.chain()
    return seq - 1 === anchorSeq ? anchorHash : (this.#rows.find(seq - 1)?.hash ?? '')
  }
}

function toRow(event: AuditEvent, seq: number, at: number): Omit<AuditRow, 'hash'> {
  const { who, action, object, outcome, detail = {}, from } = event
  return {
    ...{ seq, at, action, outcome },
    who: clean(who),
    kind: clean(object.kind),
    namespace: object.namespace === undefined ? null : clean(object.namespace),
    name: clean(object.name),
    origin: from === undefined ? null : clean(from),
    detail: JSON.stringify(allowedDetail(detail)),
  }
}

/** Names come from callers: no control characters, no half characters, not without end. */
function clean(text: string): string {
  return text
    .slice(0, maxText)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '?')
}

function hashOf(row: Omit<AuditRow, 'hash'>, previous: string): string {
  return createHash('sha256')
    .update(JSON.stringify(toHashed(row, previous)))
    .digest('hex')
}

function toHashed(row: Omit<AuditRow, 'hash'>, previous: string): Omit<AuditRecord, 'hash'> {
  const { seq, at, who, action, kind, namespace, name, outcome, origin, detail } = row
  return {
    ...{ seq, at: new Date(at).toISOString(), who, action },
    object: { kind, namespace, name },
    ...{ outcome, from: origin, detail: JSON.parse(detail), previous },
  }
}

function toRecord(row: AuditRow, previous: string): AuditRecord {
  return { ...toHashed(row, previous), hash: row.hash }
}

function toVerification(
  chain: ChainRow,
  { checked, since }: { checked: number; since: string | null },
  fault: { brokenAt: number; reason: 'changed' | 'missing' | 'unknown' } | undefined,
): Verification {
  const head = { seq: chain.headSeq, hash: chain.headHash }
  const facts = { checked, firstSeq: chain.anchorSeq + 1, since, head }
  return fault === undefined ? { ok: true, ...facts } : { ok: false, ...fault, ...facts }
}
