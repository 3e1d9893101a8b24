import t from 'tap'
import { Backoff } from '../../src/mqtt/backoff.ts'

t.test('doubles up to the longest delay, anywhere below it, and begins again', async t => {
  let random = 1
  const backoff = new Backoff({ minMs: 1000, maxMs: 120_000, random: () => random })
  const delays = Array.from({ length: 9 }, () => backoff.next())
  t.same(delays, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 120_000, 120_000])
  random = 0.25
  t.equal(backoff.next(), 30_000)
  backoff.reset()
  t.equal(backoff.next(), 250)
})

t.test('slow: never soon', async t => {
  const backoff = new Backoff({ minMs: 1000, maxMs: 120_000, random: () => 0 })
  t.equal(backoff.next({ slow: true }), 60_000)
})

t.test('five hundred sites do not return together', async t => {
  const first = Array.from({ length: 500 }, () => {
    const backoff = new Backoff({ minMs: 1000, maxMs: 120_000 })
    for (let i = 0; i < 6; i += 1) backoff.next()
    return Math.floor(backoff.next() / 1000)
  })
  const seconds = Map.groupBy(first, second => second)
  const busiest = Math.max(...[...seconds.values()].map(sites => sites.length))
  t.ok(busiest < 40, `${busiest} in one second`)
})
