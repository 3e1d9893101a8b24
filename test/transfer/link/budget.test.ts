import { pino } from 'pino'
import t, { type Test } from 'tap'
import { BudgetRows, type BudgetUse } from '../../../src/state/budget.ts'
import { Budget, type BudgetLimits } from '../../../src/transfer/link/budget.ts'
import { Period } from '../../../src/transfer/link/period.ts'
import { openTestState } from '../../fixtures/state-folder.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'

const logger = pino({ level: 'silent' })
const host = 'up.example'
const mib = 1024 * 1024

/** Rows in memory that count the writes; they stay when a process is gone. */
class Rows {
  readonly kept = new Map<string, BudgetUse>()
  writes = 0

  find(account: string): BudgetUse | undefined {
    return this.kept.get(account)
  }

  put(account: string, use: BudgetUse): void {
    this.writes++
    this.kept.set(account, use)
  }
}

function open(limits: Partial<BudgetLimits>, clock: VirtualClock, rows = new Rows()) {
  const budget = new Budget({
    limits: { per: 'day', timezone: 'Europe/Berlin', groups: [], ...limits },
    ...{ rows, clock, logger },
  })
  budget.start()
  return { budget, rows }
}

function use(budget: Budget, at = 0) {
  const state = budget.state()[at]
  if (state === undefined) throw new Error('no such account')
  return state
}

t.test('days, weeks and months begin where they are told, by the local calendar', async t => {
  const starts = (options: ConstructorParameters<typeof Period>[0], moments: string[]) => {
    const period = new Period(options)
    return moments.map(moment => new Date(period.endOf(Date.parse(moment))).toISOString().slice(0, 16))
  }
  const timezone = 'Europe/Berlin'
  t.same(starts({ per: 'day', timezone }, ['2026-03-28T23:30:00Z', '2026-10-24T22:30:00Z']), [
    '2026-03-29T22:00', // 23 hours
    '2026-10-25T23:00', // 25 hours
  ])
  t.same(starts({ per: 'week', timezone }, ['2026-11-21T08:00:00Z']), ['2026-11-22T23:00'])
  t.same(starts({ per: 'week', firstDay: 'sat', timezone }, ['2026-11-21T08:00:00Z', '2026-11-20T22:59:00Z']), [
    '2026-11-27T23:00',
    '2026-11-20T23:00',
  ])
  t.same(starts({ per: 'month', timezone }, ['2026-12-31T22:00:00Z', '2026-12-31T23:00:00Z']), [
    '2026-12-31T23:00',
    '2027-01-31T23:00',
  ])
  t.same(starts({ per: 'month', firstDay: 15, timezone }, ['2026-01-14T08:00:00Z', '2026-01-15T08:00:00Z']), [
    '2026-01-14T23:00',
    '2026-02-14T23:00',
  ])
})

t.test('a used-up budget opens again with the next period', async t => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const { budget } = open({ bytes: 100 }, clock)
  t.notOk(budget.add(host, 99))
  t.ok(budget.add(host, 1), 'that was the last of it')
  t.notOk(budget.add(host, 1), 'which is told once')
  t.match(use(budget), { used: 101, left: 0, debt: 1, resetsAt: Date.parse('2026-11-21T23:00:00Z') })
  await clock.until('2026-11-21T23:00:00Z')
  t.match(use(budget), { used: 1, left: 99, debt: 0 }, 'the debt is taken from the next period')
  await clock.until('2026-11-22T23:00:00Z')
  t.match(use(budget), { used: 0, left: 100 })
})

t.test('a debt takes as many periods as it needs', async t => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const { budget, rows } = open({ bytes: 100 }, clock)
  budget.add(host, 350)
  const [account] = budget.accountsOf(host)
  t.equal(account?.opensAt(clock.now()), Date.parse('2026-11-23T23:00:00Z'))
  budget.stop()
  clock.jump('2026-11-24T08:00:00Z')
  t.match(use(open({ bytes: 100 }, clock, rows).budget), { used: 50, left: 50 }, 'also while the agent is off')
})

t.test('few writes; a stop loses nothing, and a crash counts a little more and never less', async t => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const limits = { bytes: 1000 * mib }
  const { budget, rows } = open(limits, clock)
  for (let count = 0; count < 1600; count++) budget.add(host, 64 * 1024)
  const used = 100 * mib
  t.ok(rows.writes <= 25, `${rows.writes} writes for 1,600 chunks`)
  const crashed = use(open(limits, clock, rows).budget).used
  t.ok(crashed >= used && crashed <= used + 5 * mib, `${crashed} of ${used}`)
  budget.stop()
  t.equal(use(open(limits, clock, rows).budget).used, used)
})

t.test('groups of upstreams have accounts of their own, beside the site', async t => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const groups = [{ name: 'satellite', hosts: ['sat.example'], bytes: 10 }]
  const { budget } = open({ bytes: 100, groups }, clock)
  budget.add('sat.example', 10)
  budget.add('lan.example', 20)
  t.match(budget.state(), [
    { group: null, used: 30 },
    { group: 'satellite', used: 10, left: 0 },
  ])
  const alone = open({ groups }, clock).budget
  t.same(alone.accountsOf('lan.example'), [], 'without a limit for the site, others are free')
})

t.test('a clock that was wrong for a while neither gives a new budget nor holds the old one', async t => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const { budget } = open({ bytes: 100 }, clock)
  budget.add(host, 60)
  clock.jump('2026-11-20T08:00:00Z')
  t.match(use(budget), { used: 60 })
  clock.jump('2026-11-21T08:00:00Z')
  t.match(use(budget), { used: 0 }, 'a new day as far as anyone can tell')
  clock.jump('2099-01-01T00:00:00Z')
  budget.add(host, 10)
  clock.jump('2026-11-22T08:00:00Z')
  t.match(use(budget), { used: 10, resetsAt: Date.parse('2026-11-22T23:00:00Z') })
})

t.test('on disk', async (t: Test) => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const rows = new BudgetRows(openTestState(t).db)
  t.equal(rows.find('site'), undefined)
  rows.put('site', { periodStart: clock.now(), bytes: 5 })
  rows.put('site', { periodStart: clock.now(), bytes: 7 })
  t.same(rows.find('site'), { periodStart: clock.now(), bytes: 7 })
})

t.test('a database that can not be written does not stop the counting', async t => {
  const clock = new VirtualClock('2026-11-21T08:00:00Z')
  const rows = {
    find: () => undefined,
    put: () => {
      throw new Error('SQLITE_FULL')
    },
  }
  const limits: BudgetLimits = { per: 'day', timezone: 'UTC', groups: [], bytes: 10 }
  const budget = new Budget({ limits, rows, clock, logger })
  budget.start()
  t.ok(budget.add(host, 10))
  t.equal(use(budget).left, 0)
})
