import t from 'tap'
import { RateLimiter } from '../../../src/transfer/link/limiter.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'

const never = new AbortController().signal
const start = '2026-11-21T08:00:00Z'
const kib = 1024

interface Grant {
  readonly at: number
  readonly bytes: number
}

/** A taker that always wants more, in chunks as `size` says; it writes down what it is granted, and when. */
function greedy(clock: VirtualClock, limiter: RateLimiter, size: () => number, signal = never): Grant[] {
  const grants: Grant[] = []
  const flow = limiter.flow()
  const go = async () => {
    while (!signal.aborted) {
      const bytes = size()
      await flow.take(bytes, signal)
      grants.push({ at: clock.monotonic(), bytes })
    }
  }
  go().catch(() => undefined)
  return grants
}

function sum(grants: readonly Grant[], from = 0, to = Number.POSITIVE_INFINITY): number {
  return grants.reduce((total, { at, bytes }) => (at > from && at <= to ? total + bytes : total), 0)
}

/** A sequence that looks random and is the same in every run. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  }
}

t.test('any ten seconds are within 3 % of the rate, for any takers and chunks', async t => {
  for (const seed of [1, 2, 3, 4]) {
    const random = seeded(seed)
    const rate = 2_500_000 * (1 + Math.floor(random() * 4))
    const clock = new VirtualClock(start)
    const limiter = new RateLimiter(clock, rate)
    const stop = new AbortController()
    const takers = Array.from({ length: 1 + Math.floor(random() * 5) }, () => {
      const largest = 1 + Math.floor(random() * 64 * kib)
      return greedy(clock, limiter, () => 1 + Math.floor(random() * largest), stop.signal)
    })
    await clock.pass(14_000)
    stop.abort()
    const all = takers.flat().sort((a, b) => a.at - b.at)
    for (let from = 0; from <= 4_000; from += 500) {
      const share = sum(all, from, from + 10_000) / (rate * 10)
      t.ok(share > 0.97 && share < 1.03, `seed ${seed}, from ${from} ms: ${share}`)
    }
  }
})

t.test('takers share evenly, however large their chunks are', async t => {
  const clock = new VirtualClock(start)
  const limiter = new RateLimiter(clock, 100 * kib)
  const stop = new AbortController()
  const sizes = [64 * kib, 4 * kib, 700, 300 * kib]
  const takers = sizes.map(size => greedy(clock, limiter, () => size, stop.signal))
  await clock.pass(60_000)
  stop.abort()
  for (const [at, grants] of takers.entries()) {
    const share = sum(grants) / (60 * 100 * kib)
    t.ok(Math.abs(share - 0.25) < 0.06, `${sizes[at]} bytes at once: ${share}`)
  }
})

t.test('what one does not use, the others get', async t => {
  const clock = new VirtualClock(start)
  const limiter = new RateLimiter(clock, 100_000)
  const stop = new AbortController()
  const seldom = limiter.flow()
  const grants = greedy(clock, limiter, () => 1000, stop.signal)
  await clock.pass(5_000)
  const asked = clock.monotonic()
  let got = 0
  const done = seldom.take(1000, never).then(() => {
    got = clock.monotonic()
  })
  await clock.pass(5_000)
  await done
  stop.abort()
  t.ok(got - asked <= 30, `one that comes seldom waits ${got - asked} ms`)
  t.ok(sum(grants) > 980_000)
})

t.test('an idle bucket saves up a twentieth of a second and no more', async t => {
  const clock = new VirtualClock(start)
  const limiter = new RateLimiter(clock, 100_000)
  await clock.pass(3_600_000)
  const stop = new AbortController()
  const from = clock.monotonic()
  const grants = greedy(clock, limiter, () => 1000, stop.signal)
  await clock.pass(1_000)
  stop.abort()
  t.equal(sum(grants, from - 1, from), 5_000)
  t.ok(sum(grants) <= 105_000)
})

t.test('a change of the rate counts at once, for those who wait, too', async t => {
  const clock = new VirtualClock(start)
  const limiter = new RateLimiter(clock, 1_000)
  const stop = new AbortController()
  const grants = greedy(clock, limiter, () => 64 * kib, stop.signal)
  await clock.pass(10_000)
  t.equal(sum(grants), 0, 'a minute of waiting lies ahead')
  limiter.setRate(1_000_000)
  await clock.pass(10_000)
  const fast = sum(grants)
  t.ok(fast > 9_700_000 && fast < 10_300_000, `${fast} bytes`)
  limiter.setRate(100_000)
  await clock.pass(10_000)
  stop.abort()
  t.ok(sum(grants) - fast < 1_030_000 + 64 * kib)
  const flow = limiter.flow()
  const waiting = flow.take(1_000_000, never)
  limiter.setRate(undefined)
  await waiting
  t.equal(clock.timers, 0)
})

t.test('who gives up leaves no hole and keeps nobody waiting', async t => {
  const clock = new VirtualClock(start)
  const limiter = new RateLimiter(clock, 1_000)
  const leaver = new AbortController()
  const first = limiter.flow().take(60_000, leaver.signal)
  let got = false
  const second = limiter
    .flow()
    .take(1_000, never)
    .then(() => {
      got = true
    })
  leaver.abort(new Error('withdrawn'))
  await t.rejects(first, { message: 'withdrawn' })
  await clock.pass(1_000)
  t.ok(got)
  await second
  t.equal(clock.timers, 0)
})
