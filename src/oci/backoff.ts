/** How long to wait before another try. Pure arithmetic; whoever waits owns the timer. */

export interface BackoffOptions {
  /** The first wait, in milliseconds. */
  readonly firstMs: number
  /** No wait is longer. */
  readonly maxMs: number
}

/**
 * A wait that doubles with each failure, with jitter between half of it and all of it, so that many sites that lost
 * the same registry at the same moment don't return at the same moment.
 * @param failures how many tries have failed in a row, from 1.
 * @param random a number in [0, 1), for tests.
 */
export function backoffMs(failures: number, options: BackoffOptions, random: () => number = Math.random): number {
  const whole = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(failures - 1, 30))
  return Math.round(whole / 2 + (whole / 2) * random())
}
