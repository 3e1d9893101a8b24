/** The process's own figures, and that knowing them does not keep it awake. */
import { spawnSync } from 'node:child_process'
import { Registry } from 'prom-client'
import t from 'tap'
import { addProcessMetrics } from '../../../src/http/api/process-metrics.ts'

t.test('processor, memory and how busy the event loop is', async t => {
  const registry = new Registry()
  addProcessMetrics(registry)
  const text = await registry.metrics()
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) {
    t.match(text, new RegExp(`^${name} `, 'm'))
  }
  const busy = async () =>
    Number(/^edge_image_agent_event_loop_busy_seconds_total (\S+)$/m.exec(await registry.metrics())?.[1])
  await new Promise(resolve => setImmediate(resolve)) // the loop counts from its first turn on
  const before = await busy()
  for (const end = performance.now() + 20; performance.now() < end; );
  await new Promise(resolve => setImmediate(resolve))
  t.ok((await busy()) >= before + 0.02, 'it grows by the time that work took')
  t.notMatch(text, /eventloop_lag_p99/, 'what takes a timer of 10 ms is left out')
})

t.test('an idle process is not woken for them', t => {
  const module = JSON.stringify(new URL('../../../src/http/api/process-metrics.ts', import.meta.url).href)
  const program = `
    const { Registry } = await import('prom-client')
    const { addProcessMetrics } = await import(${module})
    addProcessMetrics(new Registry())
    await new Promise(resolve => setTimeout(resolve, 50))
    const before = process.resourceUsage().voluntaryContextSwitches
    await new Promise(resolve => setTimeout(resolve, 1000))
    process.stdout.write(String(process.resourceUsage().voluntaryContextSwitches - before))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    cwd: import.meta.dirname,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  t.ok(Number.parseInt(stdout, 10) < 60, `woken ${stdout} times in a second ${stderr}`)
  t.end()
})
