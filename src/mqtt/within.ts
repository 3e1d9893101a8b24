/** Patience with an end: for what must finish whatever the broker does. */

/** Resolves when `work` is settled or `ms` milliseconds have passed, whichever is first; never rejects. */
export async function within(work: Promise<unknown>, ms: number): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await Promise.race([Promise.allSettled([work]), timeout])
  clearTimeout(timer)
}

/** What `work` resolves with, or undefined once `signal` is aborted. Leaves no listener behind. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const stop = Promise.withResolvers<undefined>()
  const onAbort = () => stop.resolve(undefined)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, stop.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
