import t from 'tap'
import { DirectCalls } from '../../src/store/direct-calls.ts'

t.test('a call that is held is the last for a while, and for longer each time', t => {
  let now = 0
  const calls = new DirectCalls(() => now)
  const call = (ms: number) =>
    calls.make(() => {
      now += ms
      return ms
    })
  const rest = () => {
    const from = now
    while (!calls.areFast) now += 1000
    return now - from
  }
  t.equal(call(19), 19)
  t.ok(calls.areFast)
  call(20)
  t.equal(rest(), 10_000)
  call(300)
  t.equal(rest(), 20_000)
  for (let times = 0; times < 10; times++) {
    call(20)
    rest()
  }
  call(20)
  t.equal(rest(), 600_000, 'ten minutes at most')
  now += 600_000
  call(20)
  t.equal(rest(), 10_000, 'after a long time without, as at first')
  t.end()
})

t.test('a call that fails and was held counts, too', t => {
  let now = 0
  const calls = new DirectCalls(() => now)
  const fail = () => {
    now += 50
    throw new Error('no space left on device')
  }
  t.throws(() => calls.make(fail), { message: /no space/ })
  t.notOk(calls.areFast)
  t.end()
})
