/** How long a plan waits between its tries, where nothing tells when to try again. Used by queue.ts. */
import { type BackoffOptions, backoffMs } from '../oci/backoff.ts'
import type { Entry } from './line.ts'
import type { Outcome } from './run-context.ts'

/** Where the link is back again and again, and nothing is gained, a plan is left alone for so long after its last try. Milliseconds. */
const leastWaitMs = 60_000
/** No registry is obeyed that asks for a longer wait, in milliseconds. */
const longestRetryAfterMs = 24 * 60 * 60 * 1000

/** A pass that ended for now, and is to be tried again. */
export type Setback = Pick<Extract<Outcome, { kind: 'wait' }>, 'reason' | 'retryAfterMs'>

/** Milliseconds that a plan still waits when the link is back: none, unless its last return was of no use. */
export function waitWhenBack({ woken, lastError }: Pick<Entry, 'woken' | 'lastError'>, now: number): number {
  const since = now - (lastError?.at ?? 0)
  return woken ? Math.min(Math.max(leastWaitMs - since, 0), leastWaitMs) : 0
}

/**
 * Milliseconds until a plan's next try after a setback: more with each failure, and what the registry asks for at least. A link
 * that comes back haltingly fails the try that its first sign of life began; as no further sign ends that wait, it is short, once.
 */
export function waitAfter(
  { reason, retryAfterMs }: Setback,
  { failures, justWoken }: Pick<Entry, 'failures' | 'justWoken'>,
  retry: BackoffOptions,
): number {
  const isShort = justWoken && reason === 'Retry'
  const maxMs = isShort ? Math.min(retry.maxMs, leastWaitMs) : retry.maxMs
  return Math.max(backoffMs(failures, { ...retry, maxMs }), Math.min(retryAfterMs, longestRetryAfterMs))
}
