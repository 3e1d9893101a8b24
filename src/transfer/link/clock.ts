/** Time as the link sees it, so that tests let days pass in milliseconds. Used by everything in this folder. */
import { performance } from 'node:perf_hooks'

export interface Clock {
  /** Epoch milliseconds: what people's clocks show. It may jump. */
  now(): number
  /** Milliseconds that only ever go forward, evenly. */
  monotonic(): number
  /** Calls back once after so many milliseconds; the answer calls that off. */
  after(ms: number, work: () => void): () => void
}

/** This machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  },
}
