/**
 * What was done, by whom, and what was denied: an append-only list in which every record carries the hash of the one before, so that
 * a record that was changed or taken away is found. The end of the chain is kept beside it, so that records missing there are found, too.
 */
import type { Logger } from 'pino'
import { type AuditFilter, type AuditRow, AuditRows, type ChainRow } from '../state/audit.ts'
import type { State } from '../state/database.ts'
import {
  type AuditRecord,
  type ChainFault,
  type ChainPosition,
  followChain,
  hashRecord,
  toRecord,
} from './audit-chain.ts'
import { type AuditDetail, allowedDetail } from './audit-detail.ts'
import type { Right } from './roles.ts'

/** A right that was used or denied; a login that failed; a fault that pruning has found. */
export type AuditAction = Right | 'login' | 'audit:prune'
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

/** What a check of the chain has found. */
export type Verification = {
  /** Records that are as they were written. */
  readonly checked: number
  /** The first number that is kept: what was before went because of size or age. */
  readonly firstSeq: number
  /** When the first record that is kept was written, RFC 3339; null when there is none. */
  readonly since: string | null
  /** The end of the chain: noted elsewhere, it proves later that nothing up to it was rewritten. */
  readonly head: ChainPosition
} & ({ readonly ok: true } | ({ readonly ok: false } & ChainFault))

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
const maxPruned = 10_000
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
    const { maxRecords } = this.#options
    // A surplus, so that pruning isn't part of every call.
    const surplus = Math.min(maxRecords / 10, maxPruned / 2)
    this.#rows.transaction(() => {
      const { seq, kept } = this.#append(event)
      if (kept > maxRecords + surplus) this.#removeUpTo(seq - maxRecords)
    })
  }

  #append(event: AuditEvent): { readonly seq: number; readonly kept: number } {
    const { headSeq, headHash, anchorSeq } = this.#rows.chain()
    const seq = headSeq + 1
    const row = toRow(event, seq, this.#options.now())
    this.#rows.add({ ...row, hash: hashRecord(row, headHash) })
    return { seq, kept: seq - anchorSeq }
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
    let end: ChainPosition = { seq: chain.anchorSeq, hash: chain.anchorHash }
    for (;;) {
      const rows = this.#rows.after(end.seq, batch)
      chain = this.#rows.chain()
      // What was pruned meanwhile was checked by the pruning; the proof goes on behind it.
      if (chain.anchorSeq > end.seq) {
        end = { seq: chain.anchorSeq, hash: chain.anchorHash }
        continue
      }
      const followed = followChain(rows, end, chain.headSeq)
      end = followed.end
      const fault = followed.fault ?? (rows.length < batch ? faultAtEnd(end, chain) : undefined)
      if (fault !== undefined || rows.length < batch) return this.#toVerification(chain, end, fault)
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

  /**
   * Removes what is too old or too much, at most 10,000 records at once. What stays is still proven: the chain keeps the hash of the
   * last one that went. A fault among those that go is put on record, so that it doesn't go with them.
   */
  prune(now: number = this.#options.now()): void {
    const { maxAgeMs, maxRecords } = this.#options
    this.#rows.transaction(() => {
      const { headSeq } = this.#rows.chain()
      const firstYoung = this.#rows.firstSince(now - maxAgeMs) ?? headSeq + 1
      this.#removeUpTo(Math.max(firstYoung - 1, headSeq - maxRecords))
    })
  }

  #removeUpTo(wanted: number): void {
    const { anchorSeq, anchorHash, headSeq } = this.#rows.chain()
    const rows = this.#rows.after(anchorSeq, maxPruned).filter(row => row.seq <= wanted)
    const last = rows.at(-1)
    if (last === undefined) return
    const { fault } = followChain(rows, { seq: anchorSeq, hash: anchorHash }, headSeq)
    this.#rows.removeUpTo(last)
    this.#options.logger.info({ records: rows.length, upTo: last.seq }, 'the oldest records of the audit were removed')
    if (fault) this.#recordFault(fault)
  }

  #recordFault({ brokenAt, reason }: ChainFault): void {
    this.#options.logger.error({ seq: brokenAt, reason }, 'the audit was tampered with')
    this.#append({
      ...{ who: 'system', action: 'audit:prune', outcome: 'failure' },
      object: { kind: 'Audit', name: `record ${brokenAt}` },
      detail: { reason: `the record is ${reason}` },
    })
  }

  #toVerification(chain: ChainRow, end: ChainPosition, fault: ChainFault | undefined): Verification {
    const [first] = this.#rows.after(chain.anchorSeq, 1)
    const facts = {
      checked: end.seq - chain.anchorSeq,
      firstSeq: chain.anchorSeq + 1,
      since: first === undefined ? null : new Date(first.at).toISOString(),
      head: { seq: chain.headSeq, hash: chain.headHash },
    }
    return fault === undefined ? { ok: true, ...facts } : { ok: false, ...fault, ...facts }
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

function faultAtEnd(end: ChainPosition, { headSeq, headHash }: ChainRow): ChainFault | undefined {
  if (end.seq < headSeq) return { brokenAt: end.seq + 1, reason: 'missing' }
  return end.hash === headHash ? undefined : { brokenAt: end.seq, reason: 'changed' }
}
