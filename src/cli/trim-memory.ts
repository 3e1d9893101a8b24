/** Gives back what loading and starting left behind. Used by run.ts. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * One full collection that hands free pages back to the system. V8 does it by itself only when memory grows, which a site that has nothing
 * to do never makes it do: 7 MiB of an idle agent would stay. Takes about 100 ms, so it belongs to the end of the start.
 */
export function trimMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  setFlagsFromString('--no-expose-gc')
}
