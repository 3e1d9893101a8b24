/**
 * The real agent's memory: it does not grow with the size of a blob. Measured on the built program, as it is installed: run from
 * source, Node's type stripper alone takes 25 MiB. Figures from the kernel; Linux only.
 */
import { execFile } from 'node:child_process'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { planOf, startEdgeSite } from '../fixtures/edge-site.ts'

const MiB = 1024 * 1024
const skip = process.platform === 'linux' ? false : 'reads /proc, which is on Linux only'

const root = join(import.meta.dirname, '../..')

t.test('1 GiB takes no more memory than 10 MiB', { skip, timeout: 110_000 }, async t => {
  const program = await build(t.testdir())
  const small = await measure(t, program, 10 * MiB)
  const large = await measure(t, program, 1024 * MiB)
  // Of two starts, the lower: single ones differ by 2 MiB, which is the system's part in what a process is said to take.
  const idle = Math.min(small.idle, large.idle)
  t.comment(
    `idle ${mib(small.idle)} and ${mib(large.idle)}, copying 10 MiB ${mib(small.peak)}, copying 1 GiB ${mib(large.peak)} MiB`,
  )
  t.ok(large.peak - small.peak <= 20 * MiB, `1 GiB: ${mib(large.peak)} MiB, 10 MiB: ${mib(small.peak)} MiB`)
  t.ok(large.peak <= 160 * MiB, `${mib(large.peak)} MiB while copying`)
  t.ok(idle <= 110 * MiB, `${mib(idle)} MiB idle`)
})

/** Bytes that an agent of its own holds before a plan, and holds at most until a blob of this size is Ready. */
async function measure(t: Test, program: string, size: number): Promise<{ idle: number; peak: number }> {
  const { upstream, mecm, agent } = await startEdgeSite(t, { program })
  await delay(2000) // what the start has left behind is given back
  const { now: idle } = await agent.memory()
  upstream.putImage('mecm/web', '1', [upstream.putGeneratedBlob('mecm/web', size)])
  const status = await mecm.run(planOf('web', 1, [{ source: `${upstream.host}/mecm/web:1` }]), { timeoutMs: 60_000 })
  t.equal(status.phase, 'Ready')
  const { peak } = await agent.memory()
  await agent.stop()
  return { idle, peak }
}

/** Builds the agent into a folder of the checkout, whose node_modules it finds from there. */
async function build(dir: string): Promise<string> {
  const tsc = [
    join(root, 'node_modules/.bin/tsc'),
    '-p',
    join(root, 'tsconfig.build.json'),
    '--outDir',
    join(dir, 'dist'),
  ]
  await promisify(execFile)('env', ['-u', 'NODE_OPTIONS', ...tsc]) // which would put the test runner into it
  await copyFile(join(root, 'package.json'), join(dir, 'package.json'))
  return join(dir, 'dist/main.js')
}

function mib(bytes: number): string {
  return (bytes / MiB).toFixed(1)
}
