/**
 * Which of a name's plans counts, and what follows from that: its run begins, it ends as withdrawn, or it loses a target to another. Plan
 * contract, "Topics" and "What the agent promises", 8 and 9. Called by the intake, within its transactions.
 */
import type { Platform } from '../oci/platform.ts'
import type { PlanRow, PlanRows, Scope } from '../state/plans.ts'
import { findLosses, type Loss } from './conflicts.ts'
import { interpret, type Plan } from './plan.ts'
import { isPlanDocument, listFormProblems } from './problems.ts'
import { refusalDraft, unknownDraft } from './refusal.ts'
import { RunReport } from './run-report.ts'
import type { PlanDocument } from './schema.ts'
import { formatTime, joinTexts, type StatusDraft } from './status.ts'
import { readStatus, type StatusBook } from './status-book.ts'

/** A plan with `withdrawn: true`. */
interface WithdrawalPlan extends Pick<Plan, 'revision' | 'package'> {
  readonly scope: Scope
}

export interface EffectivePlansOptions {
  readonly rows: PlanRows
  readonly book: StatusBook
  readonly platforms: readonly Platform[]
  /** Epoch milliseconds. */
  readonly now: () => number
  /** A plan's status changes with this transaction, so that it may have to run, or to stop. */
  readonly touched: (name: string) => void
}

export class EffectivePlans {
  readonly #options: EffectivePlansOptions

  constructor(options: EffectivePlansOptions) {
    this.#options = options
  }

  /** The plan of a scope, if it stands. */
  planOf(name: string, scope: Scope): Plan | undefined {
    const document = this.documentOf(name, scope)
    return document && interpret(document, this.#options.platforms).plan
  }

  /** The plan as it was sent, if it stands. */
  documentOf(name: string, scope: Scope): PlanDocument | undefined {
    const row = this.#options.rows.plan(name, scope)
    const document: unknown = row?.document == null ? undefined : JSON.parse(row.document)
    return isPlanDocument(document) ? document : undefined
  }

  /** The plan of this name that counts: the edge's own, else the group's that was issued last, then the greater name. */
  find(name: string): PlanRow | undefined {
    const rows = this.#options.rows.plansNamed(name)
    const own = rows.find(row => row.scope === 'edge')
    if (own?.withdrawn === null) return own
    // Withdrawn by a plan on the edge's own topic: that outranks every group
    if (own?.withdrawn === 'field') return undefined
    return rows
      .filter(row => row.scope !== 'edge' && row.withdrawn === null)
      .sort((a, b) => b.issuedAt - a.issuedAt || (a.scope < b.scope ? 1 : -1))
      .at(0)
  }

  /**
   * Brings the plan's run and status in line with the rows of its scopes.
   * @param withdrawal the plan with `withdrawn: true` that is the occasion, and has to be answered under its own revision.
   */
  settle(name: string, withdrawal?: WithdrawalPlan): void {
    const { rows } = this.#options
    const effective = this.find(name)
    const status = rows.status(name)
    if (effective === undefined) {
      this.endWithdrawn(name, withdrawal)
      return
    }
    const current = status && readStatus(status)
    const same = status?.scope === effective.scope && current?.revision === effective.revision
    if (same && current.phase !== 'Withdrawn' && current.phase !== 'Rejected') return
    this.begin(effective)
  }

  /** Begins a run of the plan, in place of the one that its name had. */
  begin(row: PlanRow): void {
    const { rows, book, now } = this.#options
    const { name, scope } = row
    const run = rows.next('run')
    const plan = this.planOf(name, scope)
    this.#options.touched(name)
    if (plan === undefined) {
      // An older version of the agent has accepted what this one does not understand
      const problems = listFormProblems(row.document === null ? undefined : JSON.parse(row.document))
      book.begin(refusalDraft({ ...row, package: undefined }, 'Invalid', problems), { run, scope })
      return
    }
    for (const [position, { target, source }] of plan.images.entries()) {
      const { repository, tag = null } = target
      const digest = source.digest ?? null
      rows.putWanted({ plan: name, run, position, repository, tag, digest, localDigest: null, published: false })
    }
    const report = new RunReport(plan)
    const late = plan.notAfter !== undefined && plan.notAfter < now()
    if (late) {
      book.begin(report.draft('Expired', { message: `arrived after ${formatTime(plan.notAfter)}` }), { run, scope })
    } else {
      book.begin(report.draft('Accepted', plan.notes.length > 0 ? { message: joinTexts(plan.notes) } : {}), {
        run,
        scope,
      })
      this.settleConflicts(plan, run)
    }
    rows.removeOtherRuns(name, run, rows.status(name)?.readyRun ?? null)
  }

  /** Ends the name's run, for nothing of it stands any more. @param withdrawal as in {@link settle}. */
  endWithdrawn(name: string, withdrawal?: WithdrawalPlan): void {
    const { rows, book } = this.#options
    const row = rows.status(name)
    if (row === undefined) {
      if (withdrawal === undefined) return
      // of a plan that was never here: it gets its answer all the same
      book.begin(unknownDraft({ ...withdrawal, name }, 'Withdrawn'), { run: rows.next('run'), scope: withdrawal.scope })
      return
    }
    const { edge, seq, at, status, mecHostInfo, ...last } = readStatus(row)
    const revision = withdrawal?.revision ?? last.revision
    if (last.phase === 'Withdrawn' && last.revision === revision) return
    const says = { revision, package: withdrawal?.package ?? last.package }
    book.record({ ...last, ...says, phase: 'Withdrawn', reason: null, message: null, hint: null }, row.run)
    this.#options.touched(name)
  }

  /** Writes down who loses a target now that more digests are known. Gives false when the plan itself does. */
  settleConflicts(plan: Plan, run: number): boolean {
    const losses = findLosses(this.#options.rows, plan, run)
    for (const loss of losses) this.#supersede(loss)
    return !losses.some(loss => loss.loser === plan.name)
  }

  #supersede({ loser, winner, target }: Loss): void {
    const row = this.#options.rows.status(loser)
    if (row === undefined || row.phase === 'Superseded') return
    const { edge, seq, at, status, mecHostInfo, ...last } = readStatus(row)
    const message = `the plan ${winner}, which takes precedence, wants other content under ${target}`
    const draft: StatusDraft = { ...last, phase: 'Superseded', reason: null, message, hint: null }
    this.#options.book.record(draft, row.run, { supersededBy: winner })
    this.#options.touched(loser)
  }
}
