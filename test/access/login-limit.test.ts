import t from 'tap'
import { LoginLimit } from '../../src/access/login-limit.ts'

function limitAt(options = {}) {
  const clock = { now: 1_000_000 }
  return { clock, limit: new LoginLimit({ now: () => clock.now, ...options }) }
}

function fail(limit: LoginLimit, address: string, times: number): void {
  for (let at = 0; at < times; at++) limit.fail(address)
}

t.test('a few failures are free, then the wait doubles up to its limit', async t => {
  const { limit, clock } = limitAt()
  fail(limit, '192.0.2.1', 5)
  t.equal(limit.waitMs('192.0.2.1'), 0)
  const waits = Array.from({ length: 14 }, () => {
    limit.fail('192.0.2.1')
    const wait = limit.waitMs('192.0.2.1')
    clock.now += wait
    return wait / 1000
  })
  t.strictSame(waits.slice(0, 5), [1, 2, 4, 8, 16])
  t.equal(Math.max(...waits), 900)
  t.equal(limit.waitMs('192.0.2.2'), 0, 'others are not slowed down')
})

t.test('the wait passes, a right token ends it, and an hour forgets', async t => {
  const { limit, clock } = limitAt()
  fail(limit, 'a', 6)
  t.equal(limit.waitMs('a'), 1000)
  clock.now += 999
  t.equal(limit.waitMs('a'), 1)
  clock.now += 1
  t.equal(limit.waitMs('a'), 0)
  fail(limit, 'a', 1)
  t.equal(limit.waitMs('a'), 2000)
  limit.succeed('a')
  t.equal(limit.waitMs('a'), 0)
  fail(limit, 'a', 10)
  clock.now += 60 * 60_000
  t.equal(limit.waitMs('a'), 0)
  fail(limit, 'a', 5)
  t.equal(limit.waitMs('a'), 0)
})

t.test('the table is bounded: the address that failed longest ago gives way', async t => {
  const { limit } = limitAt({ maxAddresses: 100 })
  fail(limit, 'first', 6)
  for (let at = 0; at < 99; at++) limit.fail(`a${at}`)
  t.ok(limit.waitMs('first') > 0)
  limit.fail('first')
  limit.fail('b')
  t.equal(limit.size, 100)
  t.ok(limit.waitMs('first') > 0, 'it failed again meanwhile')
  for (let at = 0; at < 1000; at++) limit.fail(`c${at}`)
  t.equal(limit.size, 100)
  t.equal(limit.waitMs('first'), 0)
})

t.test('an owner of many IPv6 addresses counts once', async t => {
  const { limit } = limitAt()
  for (let at = 0; at < 6; at++) limit.fail(`2001:db8:1:2::${at}`)
  t.ok(limit.waitMs('2001:0db8:1:2:ffff::1') > 0 || limit.waitMs('2001:db8:1:2:ffff::1') > 0)
  t.equal(limit.waitMs('2001:db8:1:3::1'), 0)
  fail(limit, '::1', 6)
  t.ok(limit.waitMs('::1') > 0)
  fail(limit, '::ffff:192.0.2.1', 6)
  t.ok(limit.waitMs('192.0.2.1') > 0)
})
