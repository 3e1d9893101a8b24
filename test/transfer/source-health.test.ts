/** When it is the link that is down, and not a host. Which source a blob comes from stands in sources.test.ts. */
import t from 'tap'
import { type ErrorCode, ImageError, type ImageErrorOptions } from '../../src/oci/errors.ts'
import { SourceHealth } from '../../src/transfer/source-health.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const [up, mirror] = ['up.example', 'mirror.example']

function setUp() {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const health = new SourceHealth({ clock })
  const seen = { back: 0 }
  health.events.on('back', () => {
    seen.back++
  })
  const fail = (host: string, code: ErrorCode = 'UNAVAILABLE', options: ImageErrorOptions = {}) =>
    health.failed(host, new ImageError(code, 'no', options))
  return { clock, health, seen, fail }
}

t.test('hosts that were not asked, or have answered, are not cut off', async t => {
  const { health, seen } = setUp()
  t.notOk(health.isCutOff([]))
  t.notOk(health.isCutOff([up]))
  health.answered(up)
  t.notOk(health.isCutOff([up]))
  t.equal(seen.back, 0)
})

for (const code of ['UNAVAILABLE', 'TIMEOUT', 'DNS'] as const) {
  t.test(`where all that is heard is ${code}, the link is down`, async t => {
    const { health, fail } = setUp()
    fail(up, code)
    t.ok(health.isCutOff([up]))
    t.notOk(health.isCutOff([up, mirror]), 'the other was not asked')
    fail(mirror, code)
    t.ok(health.isCutOff([up, mirror]))
  })
}

t.test('a host that answers is there, whatever it says', async t => {
  const { clock, health, fail } = setUp()
  health.heard(up)
  await clock.pass(60_000)
  fail(up, 'TIMEOUT', { host: 'storage.example', answered: true })
  t.notOk(health.isCutOff([up]), 'long ago, and what it named is silent')
  health.heard(up)
  fail(mirror, 'TIMEOUT')
  t.notOk(health.isCutOff([mirror]), 'the link is not down while anything comes over it')
})

t.test('one host of several is not the link, until half a minute after the others were heard', async t => {
  const { clock, health, seen, fail } = setUp()
  health.answered(mirror)
  await clock.pass(29_000)
  fail(up)
  t.notOk(health.isCutOff([up]))
  await clock.pass(1_000)
  fail(up)
  t.ok(health.isCutOff([up]))
  health.heard(mirror)
  t.equal(seen.back, 1, 'whichever host it is')
  t.notOk(health.isCutOff([up]))
  await clock.pass(10_000)
  health.answered(up)
  t.equal(seen.back, 1, 'told once')
})

t.test('the first bytes of a transfer are a sign of life, and so is each that follows', async t => {
  const { clock, health, seen, fail } = setUp()
  const attempt = health.begin(mirror, { measured: true, mayLeave: () => false })
  t.teardown(() => attempt.end())
  fail(up)
  t.ok(health.isCutOff([up]))
  attempt.received(1)
  t.equal(seen.back, 1, 'not only when the blob is here')
  for (let tens = 0; tens < 6; tens++) {
    await clock.pass(10_000)
    attempt.received(1)
  }
  fail(up)
  t.notOk(health.isCutOff([up]))
  await clock.pass(30_000)
  t.ok(health.isCutOff([up]))
  t.equal(seen.back, 1)
  attempt.received(1)
  t.equal(seen.back, 2, 'a body that goes on after the outage')
  t.notOk(health.isCutOff([up]))
})

t.test('a link that nobody was told is down does not come back, however often one host is silent', async t => {
  const { clock, health, seen, fail } = setUp()
  fail('dead.example')
  for (let minutes = 0; minutes < 20; minutes++) {
    await clock.pass(60_000)
    health.heard(up)
  }
  t.equal(seen.back, 0)
  await clock.pass(60_000)
  t.ok(health.isCutOff(['dead.example']))
  health.heard(up)
  t.equal(seen.back, 1)
  t.notOk(health.isCutOff(['dead.example']))
  await clock.pass(60_000)
  t.notOk(health.isCutOff(['dead.example']), 'not known until it is asked again')
  health.heard(up)
  t.equal(seen.back, 1)
})

t.test('when the link is back, nobody rests for the silence that was the link’s', async t => {
  const { clock, health, fail } = setUp()
  const [busy, liar] = ['busy.example', 'liar.example']
  health.putAside(liar, 'it lied')
  for (let failures = 0; failures < 5; failures++) {
    fail(up)
    await clock.pass(health.restLeft(up))
  }
  fail(busy, 'UNAVAILABLE', { retryAfterMs: 20 * 60_000, answered: true })
  for (const host of [up, liar, busy]) fail(host)
  fail(mirror, 'TOOMANYREQUESTS', { answered: true })
  t.equal(health.restLeft(up), 30 * 60_000)
  t.ok(health.isCutOff([up, liar, busy]))
  health.heard('other.example')
  t.same(
    [up, liar].map(host => [health.rests(host), health.restLeft(host)]),
    [
      [false, 0],
      [false, 0],
    ],
  )
  t.ok(health.isAside(liar))
  t.ok(health.rests(busy), 'it has asked for that')
  t.ok(health.rests(mirror), 'it was there')
  fail(up)
  t.equal(health.restLeft(up), 30 * 60_000, 'one that is dead none the less costs one request')
})
