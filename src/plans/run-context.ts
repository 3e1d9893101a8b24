/** What a pass over a plan is given, and how it can end. Used by run.ts; filled by the queue, and by `pull`. */
import type { Digest } from '../oci/digest.ts'
import type { ImageError } from '../oci/errors.ts'
import type { Target } from '../oci/reference.ts'
import type { ImageRequest, ResolvedImage, TransferEngine } from '../transfer/engine.ts'
import type { Obstacle } from '../transfer/link/obstacle.ts'
import type { Needs, Outlook } from './outlook.ts'
import type { Plan } from './plan.ts'
import type { RunReport, Why } from './run-report.ts'
import type { Phase } from './status.ts'

/** How a pass ended. */
export type Outcome =
  | { readonly kind: 'ready'; readonly notes: readonly string[] }
  | { readonly kind: 'failed'; readonly why: Why }
  | {
      readonly kind: 'wait'
      readonly reason: 'Retry' | 'Space' | 'Link'
      readonly message: string
      readonly hint: string
      readonly retryAfterMs: number
    }
  /** The link is closed to what the plan lacks: not to be tried before it opens to one of `blocked`. */
  | { readonly kind: 'closed'; readonly obstacle: Obstacle; readonly blocked: readonly ImageRequest[] }
  /** Another plan has won a target; that is written down already. */
  | { readonly kind: 'superseded' }

/** What a pass needs to know and to tell. */
export interface RunContext {
  readonly plan: Plan
  readonly engine: TransferEngine
  readonly report: RunReport
  /** Images that are published already, by their place in the plan: they are not resolved again, and stay as they are. */
  readonly published: Map<number, ResolvedImage>
  /** Roots that an earlier process has published, by place. */
  readonly pins: ReadonlyMap<number, Digest>
  /** Writes a status of this moment. */
  enter(phase: Phase): void
  /** Writes down what the images turned out to be. Gives false when that lets the plan lose to another. */
  settle(found: ReadonlyMap<number, ResolvedImage>): boolean
  /** Writes down that images are in place under their tags. */
  placed(images: ReadonlyMap<number, ResolvedImage>): void
  /** The tags to remove that no later plan wants, with notes about the others. */
  removals(): { readonly remove: readonly Target[]; readonly notes: readonly string[] }
  /** Hears of every failure when it happens, for the log. */
  readonly failed?: (error: ImageError, target?: string) => void
  /** What is to be expected, now that it is known what the plan lacks. */
  judge(needs: Needs): Promise<Outlook>
}
