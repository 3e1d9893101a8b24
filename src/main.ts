#!/usr/bin/env node
/** The process: refuses a Node that is too old in one clear line, sets its memory, then hands over to the command line. */
import { setFlagsFromString } from 'node:v8'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`edge-image-agent needs Node 22.19 or newer, and this is ${process.versions.node}\n`)
  process.exitCode = 1
} else {
  // A copier makes much short-lived garbage. With V8's usual room for it, a 1 GiB image takes 75 MiB more memory than a small one; with
  // the least room, 10 MiB more, at the same speed. Set before anything is loaded, however the process was started.
  setFlagsFromString('--max-semi-space-size=1')
  setFlagsFromString('--semi-space-growth-factor=1')
  // Two of V8's three compilers shorten the warm-up: nothing that an hour of waiting needs. A daemon that has started gets the better one back
  // (cli/trim-memory.ts): made to work on the start's code, it would hold 3 MiB for good.
  setFlagsFromString('--no-sparkplug')
  setFlagsFromString('--no-maglev')
  // Imported only now: on an older Node some of it can not even be read.
  const { main } = await import('./cli/main.ts')
  process.exitCode = await main()
}
