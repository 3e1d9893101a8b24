import t from 'tap'
import { readWindow, type WindowText } from '../../../src/oci/time-window.ts'
import { Windows } from '../../../src/transfer/link/windows.ts'

function windows(...texts: WindowText[]): Windows {
  return new Windows(texts.map(readWindow))
}

/** The moments at which it opens and closes, as `+` and `-` with UTC, from the first moment to the last. */
function changes(of: Windows, from: string, to: string): string[] {
  const found: string[] = []
  for (let at = of.nextChange(Date.parse(from)); at !== undefined && at < Date.parse(to); at = of.nextChange(at)) {
    found.push(`${of.openAt(at) ? '+' : '-'}${new Date(at).toISOString().slice(0, 16)}`)
  }
  return found
}

t.test('without windows the link is always open', async t => {
  const none = windows()
  t.ok(none.openAt(Date.now()))
  t.equal(none.nextChange(Date.now()), undefined)
})

t.test('one a day, in its own time zone', async t => {
  const nightly = windows({ from: '01:00', to: '05:00', timezone: 'Asia/Shanghai' })
  t.same(changes(nightly, '2026-11-21T00:00:00Z', '2026-11-23T00:00:00Z'), [
    '+2026-11-21T17:00',
    '-2026-11-21T21:00',
    '+2026-11-22T17:00',
    '-2026-11-22T21:00',
  ])
  const opening = Date.parse('2026-11-21T17:00:00Z')
  t.notOk(nightly.openAt(opening - 1))
  t.ok(nightly.openAt(opening))
  t.ok(nightly.openAt(opening + 4 * 3_600_000 - 1))
  t.notOk(nightly.openAt(opening + 4 * 3_600_000))
})

t.test('across midnight, on the days on which it begins', async t => {
  const weekend = windows({ from: '22:00', to: '04:00', timezone: 'UTC', days: ['fri', 'sat'] })
  t.same(changes(weekend, '2026-11-16T00:00:00Z', '2026-11-23T00:00:00Z'), [
    '+2026-11-20T22:00',
    '-2026-11-21T04:00',
    '+2026-11-21T22:00',
    '-2026-11-22T04:00',
  ])
})

t.test('several a day; where they meet or overlap, the link stays open', async t => {
  const day = windows(
    { from: '01:00', to: '03:00', timezone: 'UTC' },
    { from: '03:00', to: '04:00', timezone: 'UTC' },
    { from: '13:00', to: '14:00', timezone: 'Europe/Berlin' },
  )
  t.same(changes(day, '2026-11-21T00:00:00Z', '2026-11-22T00:00:00Z'), [
    '+2026-11-21T01:00',
    '-2026-11-21T04:00',
    '+2026-11-21T12:00',
    '-2026-11-21T13:00',
  ])
})

t.test('whole days', async t => {
  const sunday = windows({ from: '00:00', to: '24:00', timezone: 'Europe/Berlin', days: ['sun'] })
  t.same(changes(sunday, '2026-11-20T00:00:00Z', '2026-11-25T00:00:00Z'), ['+2026-11-21T23:00', '-2026-11-22T23:00'])
  const always = windows({ from: '00:00', to: '24:00', timezone: 'Europe/Berlin' })
  t.ok(always.openAt(Date.parse('2026-11-21T23:00:00Z')))
  t.equal(always.nextChange(Date.parse('2026-11-21T10:00:00Z')), undefined)
})

t.test('in spring an hour is missing', async t => {
  const berlin = (from: string, to: string) => windows({ from, to, timezone: 'Europe/Berlin' })
  // 2026-03-29: from 02:00 to 03:00 at 01:00 UTC
  const [from, to] = ['2026-03-28T12:00:00Z', '2026-03-29T12:00:00Z']
  t.same(changes(berlin('01:00', '05:00'), from, to), ['+2026-03-29T00:00', '-2026-03-29T03:00'], 'three hours')
  t.same(changes(berlin('02:30', '04:00'), from, to), ['+2026-03-29T01:00', '-2026-03-29T02:00'], 'opens at the jump')
  t.same(changes(berlin('01:00', '02:30'), from, to), ['+2026-03-29T00:00', '-2026-03-29T01:00'], 'closes at the jump')
  t.same(changes(berlin('02:00', '03:00'), from, to), [], 'the hour that does not come')
})

t.test('in autumn an hour comes twice', async t => {
  const berlin = (from: string, to: string) => windows({ from, to, timezone: 'Europe/Berlin' })
  // 2026-10-25: from 03:00 back to 02:00 at 01:00 UTC
  const [from, to] = ['2026-10-24T12:00:00Z', '2026-10-25T12:00:00Z']
  t.same(changes(berlin('01:00', '05:00'), from, to), ['+2026-10-24T23:00', '-2026-10-25T04:00'], 'five hours')
  t.same(changes(berlin('02:00', '03:00'), from, to), ['+2026-10-25T00:00', '-2026-10-25T02:00'], 'both of them')
  t.same(
    changes(berlin('02:15', '02:45'), from, to),
    ['+2026-10-25T00:15', '-2026-10-25T00:45', '+2026-10-25T01:15', '-2026-10-25T01:45'],
    'whenever the clock on the wall says so',
  )
})

t.test('a weekly window in the hour that spring leaves out comes a week later', async t => {
  const weekly = windows({ from: '02:00', to: '03:00', timezone: 'Europe/Berlin', days: ['sun'] })
  t.same(changes(weekly, '2026-03-23T00:00:00Z', '2026-04-06T00:00:00Z'), ['+2026-04-05T00:00', '-2026-04-05T01:00'])
})

t.test('a clock that jumps over midnight', async t => {
  // Beirut, 2026-03-29: from 00:00 to 01:00
  const early = windows({ from: '00:00', to: '02:00', timezone: 'Asia/Beirut', days: ['sun'] })
  t.same(changes(early, '2026-03-28T00:00:00Z', '2026-03-30T00:00:00Z'), ['+2026-03-28T22:00', '-2026-03-28T23:00'])
})
