/** How the records of the audit hang together: each one's hash covers the record and the hash of the one before. Used by audit.ts. */
import { createHash } from 'node:crypto'
import type { AuditRow } from '../state/audit.ts'
import type { AuditDetail } from './audit-detail.ts'

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

/** A place in the chain: a record's number and hash. */
export interface ChainPosition {
  readonly seq: number
  readonly hash: string
}

/** The first record that is not as it was written: it differs, is not there, or was added behind the end of the chain. */
export interface ChainFault {
  readonly brokenAt: number
  readonly reason: 'changed' | 'missing' | 'added'
}

/** Follows the chain from `start` over the rows that come next, up to `headSeq`: where it got to, and the fault that stopped it. */
export function followChain(
  rows: readonly AuditRow[],
  start: ChainPosition,
  headSeq: number,
): { readonly end: ChainPosition; readonly fault?: ChainFault } {
  let end = start
  for (const row of rows) {
    if (row.seq !== end.seq + 1) return { end, fault: { brokenAt: end.seq + 1, reason: 'missing' } }
    if (row.seq > headSeq) return { end, fault: { brokenAt: row.seq, reason: 'added' } }
    if (row.hash !== hashRecord(row, end.hash)) return { end, fault: { brokenAt: row.seq, reason: 'changed' } }
    end = { seq: row.seq, hash: row.hash }
  }
  return { end }
}

export function hashRecord(row: Omit<AuditRow, 'hash'>, previous: string): string {
  return createHash('sha256')
    .update(JSON.stringify(toHashed(row, previous)))
    .digest('hex')
}

export function toRecord(row: AuditRow, previous: string): AuditRecord {
  return { ...toHashed(row, previous), hash: row.hash }
}

function toHashed(row: Omit<AuditRow, 'hash'>, previous: string): Omit<AuditRecord, 'hash'> {
  const { seq, at, who, action, kind, namespace, name, outcome, origin, detail } = row
  return {
    ...{ seq, at: new Date(at).toISOString(), who, action },
    object: { kind, namespace, name },
    ...{ outcome, from: origin, detail: JSON.parse(detail), previous },
  }
}
