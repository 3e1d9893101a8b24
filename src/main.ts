#!/usr/bin/env node
/** The process: refuses a Node that is too old in one clear line, then hands over to the command line. */

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`edge-image-agent needs Node 22.19 or newer, and this is ${process.versions.node}\n`)
  process.exitCode = 1
} else {
  // Imported only now: on an older Node some of it can not even be read.
  const { main } = await import('./cli/main.ts')
  process.exitCode = await main()
}
