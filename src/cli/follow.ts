/** Follows one plan through the agent's events until it has ended; a stream that breaks is opened again. Used by `plan submit --wait`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Shape } from '../oci/shape.ts'
import { isTerminal, PlanProgressSchema, type PlanStatus, PlanStatusSchema } from '../plans/status.ts'
import type { ApiClient } from './api-client.ts'
import type { ProgressView } from './progress.ts'
import type { ServerEvent } from './server-events.ts'

const reopenMs = 1000
const maxReopens = 30

const statusShape = new Shape(PlanStatusSchema)
const progressShape = new Shape(PlanProgressSchema)

export interface FollowOptions {
  /** Runs once the stream is open; answers the plan's first status. */
  begin(): Promise<PlanStatus>
  readonly signal: AbortSignal
  readonly view?: ProgressView
}

/** The plan's last status. @throws CliError when the agent stays away for half a minute, or is asked to stop waiting. */
export async function followPlan(client: ApiClient, { begin, signal, view }: FollowOptions): Promise<PlanStatus> {
  let events = await client.openEvents(signal)
  let status = await begin()
  for (;;) {
    view?.status(status)
    status = await followStream(events, status, view)
    signal.throwIfAborted()
    if (isTerminal(status.phase)) return status
    const again = await reopen(client, status.plan, signal)
    events = again.events
    status = again.status
  }
}

/** The newest status when the plan has ended or the stream has. */
async function followStream(
  events: AsyncGenerator<ServerEvent>,
  first: PlanStatus,
  view: ProgressView | undefined,
): Promise<PlanStatus> {
  let status = first
  if (isTerminal(status.phase)) return status
  try {
    for await (const { event, data } of events) {
      const document: unknown = JSON.parse(data)
      if (event === 'progress' && progressShape.check(document) && document.plan === first.plan)
        view?.progress(document)
      if (event !== 'status' || !statusShape.check(document)) continue
      if (document.plan !== first.plan || document.seq <= status.seq) continue
      status = document
      view?.status(status)
      if (isTerminal(status.phase)) break
    }
  } catch {
    // A cut stream is no news about the plan: it is opened again.
  }
  return status
}

/** Waits for the agent to be back: it may be restarting. */
async function reopen(client: ApiClient, plan: string, signal: AbortSignal) {
  for (let attempt = 1; ; attempt++) {
    await sleep(reopenMs, undefined, { signal })
    try {
      const events = await client.openEvents(signal)
      return { events, status: await client.findPlan(plan) }
    } catch (error) {
      if (attempt >= maxReopens || signal.aborted) throw error
    }
  }
}
