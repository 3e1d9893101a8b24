/** `npm run soak [-- --seconds N --seed N]`: ten bad minutes for the real agent (soak-site.ts); prints what came of it. Exit status 1 when a plan failed or memory grew. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { soak } from './soak-site.ts'

/** What the heap may breathe between two medians. MiB. */
const mayGrow = 16

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } })
const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort())
const dir = await mkdtemp(join(tmpdir(), 'edge-image-agent-soak-'))
try {
  const { signal } = interrupt
  const say = (line: string) => process.stdout.write(`${line}\n`)
  const report = await soak({
    dir,
    seconds: Number(values.seconds ?? 600),
    seed: Number(values.seed ?? 1),
    signal,
    say,
  })
  say(JSON.stringify(report, undefined, 2))
  const grew = report.memory.late - report.memory.early
  if (grew > mayGrow) say(`memory grew by ${grew} MiB`)
  if (report.failures.length > 0 || report.plansReady === 0 || grew > mayGrow) process.exitCode = 1
} finally {
  await rm(dir, { recursive: true, force: true })
}
