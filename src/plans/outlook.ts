/**
 * Whether a plan will be here in time: what it still needs of the link and of the disk against what these allow. Told in every quote,
 * and looked at again by the queue while the plan is on its way. Plan contract, "Status".
 */
import type { TransferEngine } from '../transfer/engine.ts'
import type { Plan } from './plan.ts'
import { formatTime, type Quote } from './status.ts'

/** What a plan lacks. */
export interface Needs {
  /** Bytes that have yet to cross the link. */
  readonly bytes: number
  /** Bytes that have yet to be written. */
  readonly disk: number
  /** Bytes of plans that go first. */
  readonly ahead?: number
  /** Where they can come from, the best first. */
  readonly hosts: readonly string[]
}

export interface Outlook {
  readonly verdict: Quote['verdict']
  /** Epoch milliseconds; undefined where no rate has been measured yet, or never. */
  readonly readyAt: number | undefined
  /** The verdict in numbers; undefined where all is well. */
  readonly message: string | undefined
}

export interface OutlookOptions {
  readonly engine: Pick<TransferEngine, 'link' | 'freeBytes'>
  /** Epoch milliseconds. */
  readonly now: number
  /** Bytes a second that the sources have given before; the link's own measure without. */
  readonly rate?: number | undefined
}

type Judged = Pick<Plan, 'priority' | 'limits' | 'readyBy'>

/** Faster than any link, in bytes a second: what passes at this rate is bounded by the limits alone. */
const fastest = 1e12

/**
 * Judges by what stands now. `Infeasible` is certain as long as nobody changes the limits or makes room: whatever the link's speed, its
 * windows, budget and caps let less through before the deadline, or the disk is too small. `AtRisk` is what the measured rate says.
 */
export async function judge(plan: Judged, needs: Needs, { engine, now, rate }: OutlookOptions): Promise<Outlook> {
  const free = needs.disk === 0 ? undefined : await engine.freeBytes()
  if (free !== undefined && needs.disk > free) {
    const message = `needs ${needs.disk} bytes on the disk, ${free} are free: ${needs.disk - free} bytes are missing`
    return { verdict: 'Infeasible', readyAt: undefined, message }
  }
  return judgeTime(plan, needs, { engine, now, rate })
}

/** {@link judge} without the disk. */
export function judgeTime(plan: Judged, needs: Needs, { engine, now, rate }: OutlookOptions): Outlook {
  const { bytes, hosts, ahead = 0 } = needs
  const { link } = engine
  const { readyBy } = plan
  const readyAt = bytes === 0 ? now : link.estimate(bytes + ahead, plan, hosts, rate)
  if (readyAt === undefined && link.estimate(bytes, plan, hosts, fastest) === undefined) {
    const message = `needs ${bytes} bytes, which windows and budget do not let through within a year`
    return { verdict: 'Infeasible', readyAt, message }
  }
  if (readyBy === undefined || (readyAt !== undefined && readyAt <= readyBy)) return accepted(readyAt)
  const deadline = formatTime(readyBy)
  const about = readyAt === undefined ? '' : `; ready at about ${formatTime(readyAt)}`
  if (readyBy <= now) {
    return {
      verdict: 'Infeasible',
      readyAt,
      message: `was to be ready by ${deadline}, and lacks ${bytes} bytes${about}`,
    }
  }
  const most = link.capacity(readyBy, plan, hosts, fastest) ?? 0
  if (most < bytes) {
    const message = `needs ${bytes} bytes, the link's limits allow ${most} until ${deadline}${about}`
    return { verdict: 'Infeasible', readyAt, message }
  }
  const likely = link.capacity(readyBy, plan, hosts, rate)
  if (readyAt === undefined || likely === undefined) return accepted(readyAt)
  const first = ahead === 0 ? '' : `, after ${ahead} of plans that go first`
  const message = `needs ${bytes} bytes${first}, the link allows about ${likely} until ${deadline}${about}`
  return { verdict: 'AtRisk', readyAt, message }
}

function accepted(readyAt: number | undefined): Outlook {
  return { verdict: 'Accepted', readyAt, message: undefined }
}
