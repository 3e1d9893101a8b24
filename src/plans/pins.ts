/** What an earlier process has published of a plan stays as it is. Used by queue.ts. */
import { type Digest, isDigest } from '../oci/digest.ts'
import type { PlanRows } from '../state/plans.ts'
import type { Entry } from './line.ts'

/** Without `atomic`, the roots that are in place, by their place in the plan. With it, nothing was published, or all. */
export function pinsOf({ plan, run }: Pick<Entry, 'plan' | 'run'>, rows: PlanRows): ReadonlyMap<number, Digest> {
  const pins = new Map<number, Digest>()
  if (plan.atomic) return pins
  for (const { position, digest, published } of rows.wanted(plan.name, run)) {
    if (published && digest !== null && isDigest(digest)) pins.set(position, digest)
  }
  return pins
}
