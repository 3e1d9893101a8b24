import t from 'tap'
import { readWindow } from '../../../src/oci/time-window.ts'
import { Link, type LinkOptions } from '../../../src/transfer/link/link.ts'
import { silent } from '../../fixtures/state-folder.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'

const nightly = readWindow({ from: '01:00', to: '05:00', timezone: 'UTC' })
const use = { priority: 50 }
const hosts = ['up.example']
const rows = { find: () => undefined, put: () => undefined }

function linkAt(at: string, options: Partial<LinkOptions>): Link {
  const link = new Link({ logger: silent, clock: new VirtualClock(at), ...options })
  link.start()
  return link
}

function time(moment: number | undefined): string | undefined {
  return moment === undefined ? undefined : new Date(moment).toISOString()
}

t.test('without any figure nothing is foretold', async t => {
  t.equal(linkAt('2026-11-21T08:00:00Z', {}).estimate(1, use, hosts), undefined)
})

t.test('at the measured rate, within the rates of the site and the plan', async t => {
  const link = linkAt('2026-11-21T08:00:00Z', { maxRate: 1_000_000 })
  t.equal(time(link.estimate(60_000_000, use, hosts)), '2026-11-21T08:01:00.000Z')
  t.equal(time(link.estimate(60_000_000, use, hosts, 500_000)), '2026-11-21T08:02:00.000Z')
  t.equal(time(link.estimate(60_000_000, { ...use, limits: { maxRate: 100_000 } }, hosts)), '2026-11-21T08:10:00.000Z')
  t.equal(time(link.estimate(0, use, hosts)), '2026-11-21T08:00:00.000Z')
})

t.test('through windows', async t => {
  const link = linkAt('2026-11-21T04:59:00Z', { windows: [nightly], maxRate: 1_000_000 })
  t.equal(time(link.estimate(90_000_000, use, hosts)), '2026-11-22T01:00:30.000Z')
  t.equal(link.capacity(Date.parse('2026-11-21T12:00:00Z'), use, hosts), 60_000_000)
  t.equal(link.capacity(Date.parse('2026-11-22T01:00:01Z'), use, hosts), 61_000_000)
  const own = { ...use, limits: { windows: [readWindow({ from: '12:00', to: '13:00', timezone: 'UTC' })] } }
  t.equal(time(link.estimate(1_000_000, own, hosts)), '2026-11-21T12:00:01.000Z')
})

t.test('through periods of a budget, and its debt', async t => {
  const limits = { bytes: 100_000_000, per: 'day', timezone: 'UTC', groups: [] } as const
  const link = linkAt('2026-11-21T12:00:00Z', { maxRate: 1_000_000, budget: { limits, rows } })
  t.equal(time(link.estimate(250_000_000, use, hosts)), '2026-11-23T00:00:50.000Z')
  t.equal(time(link.estimate(250_000_000, { priority: 100 }, hosts)), '2026-11-21T12:04:10.000Z')
  link.body('up.example', undefined).came(130_000_000)
  t.equal(time(link.estimate(70_000_000, use, hosts)), '2026-11-22T00:01:10.000Z')
  t.equal(time(link.estimate(80_000_000, use, hosts)), '2026-11-23T00:00:10.000Z')
})

t.test('what takes longer than a year is never', async t => {
  const link = linkAt('2026-11-21T12:00:00Z', { maxRate: 1_000 })
  t.equal(link.estimate(1e12, use, hosts), undefined)
})

t.test('the usual rate is that of the seconds in which bytes came', async t => {
  const clock = new VirtualClock('2026-11-21T12:00:00Z')
  const link = new Link({ logger: silent, clock })
  const body = link.body('up.example', undefined)
  for (let second = 0; second < 30; second++) {
    body.came(1_000_000)
    await clock.pass(1_000)
  }
  await clock.pass(3_600_000)
  t.equal(link.state.rate, 0)
  t.equal(time(link.estimate(60_000_000, use, hosts)), '2026-11-21T14:01:30.000Z'.replace('14:', '13:'))
})

t.test('it explains itself', async t => {
  const link = linkAt('2026-11-21T12:00:00Z', { windows: [nightly], maxRate: 1_000_000 })
  t.same(link.explain({ ...use, limits: { maxRate: 1000 } }, hosts), [
    'outside the transfer windows; goes on at 2026-11-22T01:00:00Z',
    "the site's rate is 1000000 bytes a second",
    "the plan's rate is 1000 bytes a second",
  ])
  t.same(linkAt('2026-11-21T12:00:00Z', {}).explain(use, hosts), ['neither a window nor a budget holds it back'])
})
