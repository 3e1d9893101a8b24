/** Progress within its share of the link, in bytes that a connection would carry. */
import t from 'tap'
import { ProgressPublisher } from '../../src/mqtt/progress-publisher.ts'
import type { PlanProgress } from '../../src/plans/status.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const progress: PlanProgress = {
  ...{ plan: 'shop', revision: 1, edge: 'edge-01', at: '2026-11-21T08:00:00Z', phase: 'Fetching' },
  ...{ bytesMissing: 100, bytes: { done: 1, fetched: 1, resumed: 0 }, rate: 1, secondsLeft: 99 },
}

/** Offers progress every 100 ms for so long, and gives how many messages went, and their bytes. */
async function run(seconds: number, allowed: number | undefined) {
  const clock = new VirtualClock(0)
  const sent: number[] = []
  const connection = {
    congested: false,
    offer: (topic: string, payload: string) => {
      sent.push(topic.length + payload.length + 7)
    },
  }
  const publisher = new ProgressPublisher({
    ...{ connection, clock, topicOf: (suffix: string) => suffix, statusesWait: () => false },
    ...{ intervalMs: 1_000, allowance: () => allowed },
  })
  publisher.start()
  for (let ms = 0; ms < seconds * 1_000; ms += 100) {
    publisher.offer(progress)
    await clock.pass(100)
  }
  publisher.stop()
  t.equal(clock.timers, 0)
  return { messages: sent.length, bytes: sent.reduce((sum, each) => sum + each, 0) }
}

t.test('at most one a second where the link is fast, or its rate unknown', async t => {
  t.equal((await run(20, undefined)).messages, 21)
  t.equal((await run(20, 1_000_000)).messages, 21)
})

t.test('no more than the share of a slow link', async t => {
  const size = (await run(0.5, undefined)).bytes
  const { messages, bytes } = await run(100, 20)
  t.ok(bytes <= 100 * 20 + size, `${bytes} bytes in 100 s at 20 a second`)
  t.ok(messages >= Math.floor(2_000 / size), 'and what the share allows')
  t.equal((await run(1_250, 0.001)).messages, 3, 'every ten minutes, however slow')
})
