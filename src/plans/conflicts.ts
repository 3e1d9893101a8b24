/**
 * Two standing plans that want different content under one target: the one that was issued later wins, then the one with the
 * greater name. Plan contract, promise 9. Used by the intake, as far as pins make it certain, and by runs once digests are known.
 *
 * A plan stands from its acceptance until it is withdrawn, has expired, or is replaced by a higher revision. Failed and
 * Superseded plans stand, so that the outcome is the same whatever order plans arrive in. A superseded plan does not come back
 * by itself when the winner goes: its status said that it has ended, and people may have acted on it.
 */
import type { PlanRows } from '../state/plans.ts'

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
 * The plan that keeps a tag which `plan` wants removed, if there is one: by the same rule, a plan that was issued later wins. An
 * earlier one does not: who orders the removal knows of it.
 */
export function keeperOf(
  rows: PlanRows,
  plan: { name: string; issuedAt: number },
  repository: string,
  tag: string,
): string | undefined {
  return rows
    .rivals(repository, tag, plan.name)
    .find(rival => beats({ name: rival.plan, issuedAt: rival.issuedAt }, plan))?.plan
}

function beats(one: { name: string; issuedAt: number }, other: { name: string; issuedAt: number }): boolean {
  if (one.issuedAt !== other.issuedAt) return one.issuedAt > other.issuedAt
  return one.name > other.name
}
