/** What the API asks of the agent: plain functions, so that nothing here knows how the parts are built. */
import type { Plans } from '../../plans/plans.ts'
import type { Link } from '../../transfer/link/link.ts'
import type { Traffic } from '../registry/traffic.ts'
import type { ImageFigures } from './image-metrics.ts'
import type { BrokerState, HeldImage, LocalRegistryState, Readiness, StorageState, UpstreamState } from './shapes.ts'
import type { UpkeepFigures } from './upkeep-metrics.ts'

/** The part of the plans' face that the API uses. */
export interface PlansFace
  extends Pick<Plans, 'receive' | 'quote' | 'withdraw' | 'retry' | 'list' | 'find' | 'document' | 'why'> {
  readonly events: Pick<Plans['events'], 'on' | 'off'>
}

/** What is true of the agent now. Every function is asked at each request, and is cheap. */
export interface AgentFacts {
  readonly edge: string
  readonly version: string
  /** Whether state is open and the local registry answers. */
  readiness(signal: AbortSignal): Promise<Readiness>
  /** What the local registry holds, by repository and tag. */
  images(signal: AbortSignal): Promise<readonly HeldImage[]>
  /** undefined: no broker is configured. */
  broker(): BrokerState | undefined
  registry(): LocalRegistryState
  /** Every upstream that was asked since the start; not more than a few hundred. */
  upstreams(): readonly UpstreamState[]
  storage(): Promise<StorageState>
  /** The link to the upstreams, and its rate, which may be changed while the agent runs. */
  readonly link: Pick<Link, 'state' | 'setMaxRate'>
  outboxMessages(): number
  /** Since the start. */
  blobsFetched(): number
  /** What nodes took from the embedded registry and clients pushed to it since the start; undefined beside an external one. */
  traffic():
    | Pick<Traffic, 'pulls' | 'failedPulls' | 'servedBytes' | 'pushes' | 'failedPushes' | 'pushedBytes'>
    | undefined
  /** Of image management. */
  readonly figures: ImageFigures
  /** Cleanup, disk marks and scrub; undefined beside an external registry. */
  upkeep?(): UpkeepFigures | undefined
}
