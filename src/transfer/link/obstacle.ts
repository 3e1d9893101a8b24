/** What keeps content from crossing the link for now, and until when. Told by link.ts, thrown through a transfer, read by plans/. */
import { ImageError } from '../../oci/errors.ts'

export interface Obstacle {
  readonly reason: 'Window' | 'Budget'
  /** When it is gone, in epoch milliseconds; undefined where that is never. */
  readonly until: number | undefined
  /** For people; says until when, too. */
  readonly message: string
}

/** A transfer was suspended. No failure: what has arrived is kept, and it goes on from there. */
export class LinkClosed extends ImageError {
  readonly obstacle: Obstacle

  constructor(obstacle: Obstacle) {
    // On our own side: no other source would help, and none is to blame.
    super(obstacle.reason === 'Window' ? 'WINDOW_CLOSED' : 'BUDGET_USED_UP', obstacle.message, { side: 'local' })
    this.obstacle = obstacle
  }
}

/** The one that is gone first, where every way is barred; nothing where one is free. */
export function soonest(ways: readonly (Obstacle | undefined)[]): Obstacle | undefined {
  let first: Obstacle | undefined
  for (const way of ways) {
    if (way === undefined) return undefined
    if (first === undefined || untilOf(way) < untilOf(first)) first = way
  }
  return first
}

/** Of two obstacles on one way, the one that stays longer. */
export function later(a: Obstacle | undefined, b: Obstacle | undefined): Obstacle | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return untilOf(b) > untilOf(a) ? b : a
}

function untilOf(obstacle: Obstacle): number {
  return obstacle.until ?? Number.POSITIVE_INFINITY
}
