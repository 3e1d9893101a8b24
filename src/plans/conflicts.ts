/**
 * Two standing plans that want different content under one target: the one that was issued later wins, then the one with the
 * greater name. Plan contract, promise 9. Used by the intake, as far as pins make it certain, and by runs once digests are known.
 *
 * A plan stands from its acceptance until it is withdrawn, has expired, or is replaced by a higher revision. Failed and
 * Superseded plans stand, so that the outcome is the same whatever order plans arrive in. A superseded plan does not come back
 * by itself when the winner goes: its status said that it has ended, and people may have acted on it.
 */
import { formatTarget, type Target } from '../oci/reference.ts'
import type { PlanRows } from '../state/plans.ts'
import type { Plan } from './plan.ts'

/** A plan that lost its target to another. */
export interface Loss {
  readonly loser: string
  readonly winner: string
  readonly target: string
}

/** The losses that the known digests of one plan's images make certain, its own and others'; one for each loser. */
export function findLosses(rows: PlanRows, plan: { name: string; issuedAt: number }, run: number): Loss[] {
  const losses = new Map<string, Loss>()
  for (const { repository, tag, digest } of rows.wanted(plan.name, run)) {
    if (tag === null || digest === null) continue
    for (const rival of rows.rivals(repository, tag, plan.name)) {
      if (rival.digest === null || rival.digest === digest) continue
      const wins = beats(plan, { name: rival.plan, issuedAt: rival.issuedAt })
      const [winner, loser] = wins ? [plan.name, rival.plan] : [rival.plan, plan.name]
      if (!losses.has(loser)) losses.set(loser, { loser, winner, target: `${repository}:${tag}` })
    }
  }
  return [...losses.values()]
}

/**
 * Of the tags that the plan wants removed, those that no plan keeps, with notes about the others: by the same rule, a plan that was issued
 * later wins. An earlier one does not: who orders the removal knows of it.
 */
export function findRemovals(rows: PlanRows, plan: Plan): { remove: readonly Target[]; notes: readonly string[] } {
  const remove: Target[] = []
  const notes: string[] = []
  for (const target of plan.remove) {
    const keeper = rows
      .rivals(target.repository, target.tag ?? '', plan.name)
      .find(rival => beats({ name: rival.plan, issuedAt: rival.issuedAt }, plan))?.plan
    if (keeper === undefined) remove.push(target)
    else notes.push(`${formatTarget(target)} is not removed: the plan ${keeper}, which takes precedence, wants it`)
  }
  return { remove, notes }
}

function beats(one: { name: string; issuedAt: number }, other: { name: string; issuedAt: number }): boolean {
  if (one.issuedAt !== other.issuedAt) return one.issuedAt > other.issuedAt
  return one.name > other.name
}
