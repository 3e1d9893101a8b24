/** What goes first where not everything can: asked of plans in their line, and of blobs that wait for their turn. */

export interface Urgency {
  /** 0 to 100; higher goes first. */
  readonly priority: number
  /** Epoch milliseconds; what has no deadline comes after what has one. */
  readonly readyBy?: number | undefined
}

/** Negative where `a` goes first: by priority, then by deadline. */
export function compareUrgency(a: Urgency, b: Urgency): number {
  return b.priority - a.priority || deadlineOf(a) - deadlineOf(b)
}

/** The most urgent of all, the first among equals; `nothing` where there is none. */
export function mostUrgent(all: Iterable<Urgency>): Urgency {
  let most: Urgency | undefined
  for (const each of all) if (most === undefined || compareUrgency(each, most) < 0) most = each
  return most ?? nothing
}

/** What nobody wants any more. */
const nothing: Urgency = { priority: 0 }

function deadlineOf({ readyBy }: Urgency): number {
  return readyBy ?? Number.MAX_SAFE_INTEGER
}
