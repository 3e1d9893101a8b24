/** Statuses that answer plans which were never accepted. Used by the intake. */
import type { Phase, RejectedReason, StatusDraft } from './status.ts'

const hints: Record<RejectedReason, string> = {
  Invalid: 'Correct the plan and send it again.',
  Unsigned: 'Sign the plan with a key that this edge trusts.',
  Untrusted: 'Sign the plan with a key that this edge trusts; one that knows no keys takes plans without a signature.',
  Stale: 'Send the plan with a higher revision.',
  Infeasible: 'Withdraw plans that are not needed any more.',
}

/** The answer to a plan that is not taken: every problem, and what to do. */
export function refusalDraft(
  name: string,
  revision: number | null,
  reason: RejectedReason,
  problems: readonly string[],
): StatusDraft {
  const hint = hints[reason]
  return { ...unknownDraft(name, revision, 'Rejected'), reason, message: problems.join('; '), hint }
}

/** A status of a plan of which nothing is known but its name. */
export function unknownDraft(name: string, revision: number | null, phase: Phase): StatusDraft {
  return {
    plan: name,
    revision,
    phase,
    reason: null,
    message: null,
    hint: null,
    quote: null,
    bytes: { done: 0, fetched: 0, resumed: 0 },
    images: [],
    package: null,
  }
}
