import t from 'tap'
import { Link } from '../../../src/transfer/link/link.ts'
import { silent } from '../../fixtures/state-folder.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'

const never = new AbortController().signal
const kib = 1024
const chunk = 64 * kib

/** Reads four bodies at once, chunk by chunk, and gives what was read of each after every second. */
async function read(rate: number, lengths: readonly number[], seconds: number): Promise<number[]> {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const link = new Link({ logger: silent, maxRate: rate, clock })
  let total = 0
  const reading = lengths.map(async length => {
    const passage = link.body('registry.example', length)
    await passage.more(never)
    for (let left = length; left > 0; left -= chunk) {
      const bytes = Math.min(left, chunk)
      passage.came(bytes)
      total += bytes
      await passage.more(never)
    }
  })
  const seen: number[] = []
  for (let second = 0; second < seconds; second++) {
    await clock.pass(1000)
    seen.push(total)
  }
  await clock.pass(3_600_000)
  await Promise.all(reading)
  return seen
}

t.test('the bytes that buffers take are paid for before anything is read', async t => {
  const rate = 2_500_000
  const seen = await read(
    rate,
    [1, 2, 3, 4].map(() => 100_000_000),
    12,
  )
  // A twentieth of a second's bytes each wait in buffers, and as many are saved up by the limiter.
  for (const [at, total] of seen.entries()) {
    const paid = rate * (at + 1.05)
    t.ok(total <= paid - 4 * (rate / 20 - chunk), `${total} after ${at + 1} s`)
  }
  const [, second = 0, ...rest] = seen
  const last = rest.at(-1) ?? 0
  const share = (last - second) / (rate * rest.length)
  t.ok(share > 0.97 && share < 1.03, `then the rate itself: ${share}`)
})

t.test('short bodies pay for what they are, and no more', async t => {
  const seen = await read(
    100_000,
    [1, 2, 3, 4].map(() => 100 * kib),
    5,
  )
  t.equal(seen.at(-1), 4 * 100 * kib, 'over when their own bytes are paid for')
})

t.test('a read takes what the rate brings in a hundredth of a second, whatever the rate is at that moment', async t => {
  const link = new Link({ logger: silent, maxRate: 2_500_000 })
  t.equal(link.mostAtOnce, 25_000)
  link.setMaxRate(100_000)
  t.equal(link.mostAtOnce, 16 * kib, 'but not crumbs')
  link.setMaxRate(undefined)
  t.equal(link.mostAtOnce, Number.POSITIVE_INFINITY)
})
