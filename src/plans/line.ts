/** The line of plans that want to run: who is in it, in which order, and what each waits for. Kept by queue.ts. */
import type { StatusRow } from '../state/plans.ts'
import type { ResolvedImage } from '../transfer/engine.ts'
import { compareUrgency } from '../transfer/urgency.ts'
import type { Plan } from './plan.ts'
import { ProgressMeter, type ProgressOptions } from './progress.ts'
import type { Outcome } from './run-context.ts'
import { RunReport, type Why } from './run-report.ts'
import type { Phase } from './status.ts'
import { readStatus } from './status-book.ts'

/** A plan that is wanted and has not ended. */
export interface Entry {
  readonly plan: Plan
  /** Runs are numbered as they arrive. */
  readonly run: number
  readonly report: RunReport
  readonly meter: ProgressMeter
  readonly published: Map<number, ResolvedImage>
  /** Set while the entry waits outside the line, for its next try or for the link; calls that off. */
  parked: (() => void) | undefined
  /** When it is tried again, in epoch milliseconds. */
  nextTryAt: number | undefined
  /** What that try is waited for. */
  setback: Extract<Outcome, { kind: 'wait' }> | undefined
  /** The last thing that went wrong since it joined. */
  lastError: LastError | undefined
  /** What was last recorded of it since it joined. */
  last: { readonly phase: Phase; readonly why: Why } | undefined
  /** Whether the line's status was told. */
  told: boolean
  started: boolean
  /** Passes that ended without gain, in a row. */
  failures: number
  /** Whether the link's return has ended its wait, and nothing was gained since. */
  woken: boolean
  /** Whether the pass for which it was woken has not ended yet. */
  justWoken: boolean
}

export interface LastError {
  /** Epoch milliseconds. */
  readonly at: number
  readonly code: string
  readonly message: string
  readonly hint: string
  /** The image, where it is one's. */
  readonly target: string | undefined
}

/** A plan that joins the line. */
export function createEntry(plan: Plan, row: StatusRow, progress: ProgressOptions): Entry {
  const last = readStatus(row)
  const report = new RunReport(plan, last)
  return {
    ...{ plan, run: row.run, report, meter: new ProgressMeter(report, progress), published: new Map() },
    ...{ told: last.reason === 'Queue', started: row.started, parked: undefined, last: undefined },
    ...{ nextTryAt: undefined, setback: undefined, lastError: undefined, failures: 0, woken: false, justWoken: false },
  }
}

/** How a plan stands in the line. */
export interface Standing {
  readonly running: boolean
  /** 1 is next; undefined while it runs or waits for something else than its turn. */
  readonly position: number | undefined
  readonly nextTryAt: number | undefined
  /** Passes without gain, in a row. */
  readonly failures: number
  readonly lastError: LastError | undefined
}

/** Whose turn is first: higher priority, then the earlier deadline, then the earlier arrival. */
export function compareTurns(a: Pick<Entry, 'plan' | 'run'>, b: Pick<Entry, 'plan' | 'run'>): number {
  return compareUrgency(a.plan, b.plan) || a.run - b.run
}

/** Whether one should run in the other's place: for its priority or its deadline, not for having come earlier. */
export function precedes(a: Pick<Entry, 'plan'>, b: Pick<Entry, 'plan'>): boolean {
  return compareUrgency(a.plan, b.plan) < 0
}
