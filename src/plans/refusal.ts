/** Statuses that answer plans which were never accepted. Used by the intake. */
import type { PackageInfo } from './schema.ts'
import type { Phase, RejectedReason, StatusDraft } from './status.ts'

const hints: Record<RejectedReason, string> = {
  Invalid: 'Correct the plan and send it again.',
  Unsigned: 'Sign the plan with a key that this edge trusts.',
  Untrusted:
    'Sign the plan with a key that this edge trusts (`plans.trustedKeys`); one that has no keys takes plans without a signature.',
  Stale: 'Send the plan with a higher revision.',
  Infeasible:
    'Give the plan another deadline; on an edge with too many plans, withdraw those that are not needed any more.',
}

/** What a plan that is not taken says of itself, as far as it can be made out. */
export interface RefusedPlan {
  readonly name: string
  readonly revision: number | undefined
  readonly package: PackageInfo | undefined
}

/** The answer to a plan that is not taken: every problem, and what to do. */
export function refusalDraft(plan: RefusedPlan, reason: RejectedReason, problems: readonly string[]): StatusDraft {
  const hint = hints[reason]
  return { ...unknownDraft(plan, 'Rejected'), reason, message: problems.join('; '), hint }
}

/** A status of a plan of which nothing is known but what it says of itself. */
export function unknownDraft(plan: RefusedPlan, phase: Phase): StatusDraft {
  return {
    plan: plan.name,
    revision: plan.revision ?? null,
    phase,
    reason: null,
    message: null,
    hint: null,
    quote: null,
    bytes: { done: 0, fetched: 0, resumed: 0 },
    images: [],
    package: plan.package ?? null,
  }
}

/** Whether a refusal has been answered by that status already. */
export function isSameRefusal(given: StatusDraft, draft: StatusDraft): boolean {
  return given.revision === draft.revision && given.reason === draft.reason && given.message === draft.message
}
