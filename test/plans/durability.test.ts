import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PlanSite } from '../fixtures/plan-site.ts'

const receiver = fileURLToPath(new URL('../fixtures/plan-receiver.ts', import.meta.url))

t.test('kill -9: what receive has returned for is there after a restart, and runs', async t => {
  for (const plansBefore of [1, 7, 23]) {
    const dir = t.testdir()
    const child = spawn(process.execPath, [receiver, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    const received: string[] = []
    for await (const name of createInterface({ input: child.stdout })) {
      received.push(name)
      if (received.length === plansBefore) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    t.equal(child.signalCode, 'SIGKILL')

    const site = new PlanSite(dir)
    const known = site.plans.list()
    for (const name of received) {
      t.ok(
        known.some(status => status.plan === name),
        `${name} is there`,
      )
      site.engine.offer(`up.example/${name}:1`, { content: name, blobs: [{ name, size: 10 }] })
    }
    const seqs = known.map(status => status.seq)
    t.equal(new Set(seqs).size, seqs.length, 'no number of the sequence was given twice')
    t.equal(
      new Set(site.messages().map(({ topic }) => topic)).size,
      known.length,
      'each has its message for the broker',
    )
    site.start()
    for (const name of received) t.equal((await site.reached(name, 'Ready')).phase, 'Ready')
    t.ok(site.statuses.every(status => status.seq > Math.max(...seqs)))
    await site.stop()
  }
})
