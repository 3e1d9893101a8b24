/** What the queue gives to a pass over a plan that stands in the line: what the pass finds is written down as it is found. Used by queue.ts. */
import type { Logger } from 'pino'
import type { PlanRows } from '../state/plans.ts'
import type { TransferEngine } from '../transfer/engine.ts'
import { findRemovals } from './conflicts.ts'
import type { Intake } from './intake.ts'
import type { Entry } from './line.ts'
import { pinsOf } from './pins.ts'
import type { RunContext } from './run-context.ts'
import type { Phase } from './status.ts'
import type { StatusBook, StatusChange } from './status-book.ts'

export interface PassParts {
  readonly rows: PlanRows
  readonly book: StatusBook
  readonly intake: Pick<Intake, 'settleConflicts'>
  readonly engine: TransferEngine
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Writes the plan's status. */
  readonly record: (phase: Phase, change: StatusChange) => void
  readonly judge: RunContext['judge']
}

export function contextOf(entry: Entry, parts: PassParts): RunContext {
  const { plan, run, report, published, meter } = entry
  const { rows, book, engine, intake, logger, now, record, judge } = parts
  return {
    plan,
    engine,
    report,
    failed: (error, target) => {
      const { code, message, hint } = error
      entry.lastError = { at: now(), code, message, hint, target }
      logger.warn({ plan: plan.name, target, err: error }, 'a pass over a plan failed')
    },
    published,
    pins: pinsOf(entry, rows),
    enter: phase => {
      meter.phase = phase
      // To ask what there is to do is not to do it: until its content may move, `notAfter` is kept
      entry.started ||= phase !== 'Resolving'
      record(phase, { started: entry.started })
    },
    settle: found => {
      book.write(() => {
        // a published image keeps the digest that it was resolved to: as it was put, it may have another
        for (const [at, image] of found) if (!published.has(at)) rows.setDigest(plan.name, run, at, image.root.digest)
      })
      return intake.settleConflicts(plan, run)
    },
    placed: images =>
      book.write(() => {
        for (const [at, image] of images) rows.setPublished(plan.name, run, at, image.root.digest)
      }),
    removals: () => findRemovals(rows, plan),
    judge,
  }
}
