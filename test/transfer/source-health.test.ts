/** When it is the link that is down, and not a host. Which source a blob comes from stands in sources.test.ts. */
import t from 'tap'
import { type ErrorCode, ImageError } from '../../src/oci/errors.ts'
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
  const fail = (host: string, code: ErrorCode = 'UNAVAILABLE', answered = false) =>
    health.failed(host, new ImageError(code, 'no', { answered }))
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

for (const code of ['UNAVAILABLE', 'TIMEOUT', 'STALLED', 'DNS'] as const) {
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
  const { health, fail } = setUp()
  fail(up, 'UNAVAILABLE', true)
  t.notOk(health.isCutOff([up]))
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
  health.answered(mirror)
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
})
