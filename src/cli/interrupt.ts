/** Ctrl-C as an AbortSignal, for commands that wait. */

export interface Interrupt {
  readonly signal: AbortSignal
  /** Signals end the process again, as usual. */
  release(): void
}

/** The first SIGINT or SIGTERM aborts the signal; a second one ends the process as usual. */
export function onInterrupt(): Interrupt {
  const controller = new AbortController()
  const abort = () => controller.abort()
  process.once('SIGINT', abort)
  process.once('SIGTERM', abort)
  return {
    signal: controller.signal,
    release() {
      process.off('SIGINT', abort)
      process.off('SIGTERM', abort)
    },
  }
}
