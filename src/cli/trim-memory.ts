/** Ends the start: gives back what it left behind, and sets V8 for the work that comes. Used by run.ts. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Collections in which a function has to be found idle before its bytecode goes; V8's own figure, which it gets back here. */
const usualAge = 6

/**
 * Full collections that hand free pages back to the system and let go of the code that only the start needed. V8 does so by itself only
 * when memory grows, which a site that has nothing to do never makes it do: 10 MiB of an idle agent would stay. Takes about 200 ms, so it
 * belongs to the end of the start.
 */
export function trimMemory(): void {
  setFlagsFromString('--expose-gc')
  setFlagsFromString('--bytecode-old-age=1')
  const collect: unknown = runInNewContext('gc')
  // The first finds what is idle, the second takes it.
  for (let pass = 0; pass < 2; pass++) {
    if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  }
  setFlagsFromString(`--bytecode-old-age=${usualAge}`)
  setFlagsFromString('--no-expose-gc')
  // What moves bytes is worth compiling well, and soon: a sixth of the main thread's time.
  setFlagsFromString('--maglev')
  // Left to itself, V8 gives such a heap 8 MiB of room, which the buffers of a push fill ten times a second, each time for a full
  // collection; or, where much survives, twice its size, 30 MiB of which are garbage. Percent of what was in use.
  setFlagsFromString('--heap-growing-percent=50')
}
