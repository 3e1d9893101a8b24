/** The plans of this edge: the room's face for MQTT, HTTP and the composition root. */
import { EventEmitter } from 'node:events'
import type { Logger } from 'pino'
import type { Platform } from '../oci/platform.ts'
import type { State } from '../state/database.ts'
import type { Hold, Scope } from '../state/plans.ts'
import type { TransferEngine } from '../transfer/engine.ts'
import type { PlanDocument } from './schema.ts'
import type { PlanProgress, PlanStatus } from './status.ts'

/** A payload, and how it came. */
export type Arrival =
  | {
      readonly via: 'mqtt'
      readonly scope: Scope
      /** The topic's last level. */
      readonly name: string
      /** Empty: the plan is withdrawn. */
      readonly payload: Uint8Array
    }
  | { readonly via: 'http'; readonly payload: Uint8Array }

/** What became of it. Whatever it says is on disk by then. */
export interface Receipt {
  readonly outcome: 'accepted' | 'unchanged' | 'stale' | 'rejected' | 'withdrawn' | 'unknown'
  /** Empty where the payload does not say it. */
  readonly name: string
  readonly revision?: number
  /** Every problem, each with its path. */
  readonly problems?: readonly string[]
}

export interface PlansOptions {
  readonly state: Pick<State, 'db'>
  readonly engine: TransferEngine
  readonly edge: { readonly id: string; readonly groups: readonly string[]; readonly platforms: readonly Platform[] }
  /** Whether a broker is configured: without one, nothing is put into the outbox. Default true. */
  readonly report?: boolean
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now?: () => number
  readonly retry?: { readonly firstMs: number; readonly maxMs: number }
  /** Plans that run at once. Default 4. */
  readonly maxRuns?: number
}

export interface PlanEvents {
  status: [PlanStatus]
  progress: [PlanProgress]
  /** The outbox holds something new. */
  outbox: []
}

export class Plans {
  readonly events = new EventEmitter<PlanEvents>()

  constructor(_options: PlansOptions) {}

  /** Takes up what an earlier process left. */
  start(): void {
    throw new Error('not built yet')
  }

  /** Stops every run; what has arrived stays. */
  async stop(): Promise<void> {}

  /** Checks, stores durably, then returns: the message may be acknowledged. */
  receive(_arrival: Arrival): Receipt {
    throw new Error('not built yet')
  }

  /** Withdraws a plan by HTTP or the command line, whoever sent it. */
  withdraw(_name: string): Receipt {
    throw new Error('not built yet')
  }

  /** Runs a plan that ended without becoming Ready once more. */
  retry(_name: string): Receipt {
    throw new Error('not built yet')
  }

  list(): PlanStatus[] {
    throw new Error('not built yet')
  }

  find(_name: string): PlanStatus | undefined {
    throw new Error('not built yet')
  }

  /** The plan as it was sent. */
  document(_name: string): PlanDocument | undefined {
    throw new Error('not built yet')
  }

  /** Content that cleanup must leave alone. */
  holds(): Hold[] {
    throw new Error('not built yet')
  }
}
