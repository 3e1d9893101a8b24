/** `readyBy`: whose turn it is, what is said when it can't be kept, and when that is over; in a clock's time. */
import t from 'tap'
import { Link } from '../../src/transfer/link/link.ts'
import { epoch, logger, PlanSite, planOf } from '../fixtures/plan-site.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const at = (seconds: number) => new Date(epoch + seconds * 1000).toISOString()

function gate() {
  let open = () => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  return { gate, open }
}

t.test('the line: priority, then the earliest deadline, then arrival', async t => {
  const site = new PlanSite(t.testdir(), { maxRuns: 1 }).start()
  t.teardown(() => site.stop())
  const { gate: held, open } = gate()
  const offer = (name: string, spec: object) => {
    site.engine.offer(`up.example/${name}:1`, { content: name, blobs: [{ name, size: 10 }], gate: held })
    site.send(planOf(name, [`up.example/${name}:1`], { spec }))
  }
  offer('urgent', { priority: 90 })
  await site.reached('urgent', 'Fetching')
  offer('whenever', {})
  offer('later', { readyBy: at(7200) })
  offer('soon', { readyBy: at(3600) })
  offer('low', { priority: 10, readyBy: at(60) })
  await site.reached('low', 'Waiting', 'Queue')
  open()
  await site.reached('low', 'Ready')
  const order = site.statuses.filter(status => status.phase === 'Ready').map(status => status.plan)
  t.same(order, ['urgent', 'soon', 'later', 'whenever', 'low'])
})

t.test('a deadline takes the place of a run without one, and not of one with the same', async t => {
  const site = new PlanSite(t.testdir(), { maxRuns: 1 }).start()
  t.teardown(() => site.stop())
  const { gate: held, open } = gate()
  for (const [name, spec] of [
    ['whenever', {}],
    ['soon', { readyBy: at(3600) }],
    ['same', { readyBy: at(3600) }],
  ] as const) {
    site.engine.offer(`up.example/${name}:1`, { content: name, blobs: [{ name, size: 10 }], gate: held })
    site.send(planOf(name, [`up.example/${name}:1`], { spec }))
    await site.reached(name, name === 'same' ? 'Waiting' : 'Fetching')
  }
  t.equal(site.plans.find('soon')?.phase, 'Fetching')
  open()
  await site.reached('whenever', 'Ready')
})

t.test('at risk is told once, as soon as it is so, and once when it is over', async t => {
  let rate: number | undefined = 1_000
  const site = new PlanSite(t.testdir(), { rate: () => rate }).start()
  t.teardown(() => site.stop())
  site.engine.link = new Link({ clock: new VirtualClock(epoch), logger })
  const { gate: held, open } = gate()
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 2_000_000 }], gate: held })
  site.send(planOf('shop', ['up.example/web:1'], { spec: { readyBy: at(3600) } }))
  const fetching = await site.reached('shop', 'Fetching')
  t.match(fetching, { quote: { verdict: 'Accepted', readyAt: '2026-11-21T08:33:20Z' }, message: null })

  const told = () => site.statuses.filter(status => status.plan === 'shop').length
  const before = told()
  site.plans.sweep()
  t.equal(told(), before, 'nothing has changed')

  rate = 200
  site.plans.sweep()
  site.plans.sweep()
  t.equal(told(), before + 1)
  const risky = site.statuses.at(-1)
  t.match(risky, { phase: 'Fetching', status: 'Processing', quote: { verdict: 'AtRisk' } })
  t.match(
    risky?.message,
    /needs 1000000 bytes, the link allows about 720000 until 2026-11-21T09:00:00Z; ready at about 2026-11-21T09:23:20Z/,
  )

  rate = 280 // in time by a hair: estimates waver, so nothing is told yet
  site.plans.sweep()
  t.equal(told(), before + 1)
  rate = 1_000
  site.plans.sweep()
  site.plans.sweep()
  t.equal(told(), before + 2)
  t.match(site.statuses.at(-1), { phase: 'Fetching', quote: { verdict: 'Accepted' }, message: null })
  open()
  t.match(await site.reached('shop', 'Ready'), { message: null })
})

t.test('plans that go first count', async t => {
  const site = new PlanSite(t.testdir(), { rate: () => 100 }).start()
  t.teardown(() => site.stop())
  site.engine.link = new Link({ clock: new VirtualClock(epoch), logger })
  const forever = new Promise<void>(() => {})
  site.engine.offer('up.example/big:1', { content: 'big', blobs: [{ name: 'big', size: 1_000_000 }], gate: forever })
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 1_000 }], gate: forever })
  site.send(planOf('first', ['up.example/big:1'], { spec: { priority: 60 } }))
  await site.reached('first', 'Fetching')
  site.send(planOf('shop', ['up.example/web:1'], { spec: { readyBy: at(3600) } }))
  const status = await site.reached('shop', 'Fetching')
  t.match(status, { quote: { verdict: 'AtRisk' }, message: /needs 1000 bytes, after [0-9]+ of plans that go first/ })
})

t.test(
  'a deadline that nobody could keep is refused; one that has passed is said to be missed, and the plan runs',
  async t => {
    const site = new PlanSite(t.testdir()).start()
    t.teardown(() => site.stop())
    const { gate: held, open } = gate()
    site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 10 }], gate: held })
    site.send(planOf('hopeless', ['up.example/web:1'], { spec: { readyBy: '2026-11-20T00:00:00Z' } }))
    t.match(await site.reached('hopeless', 'Rejected'), {
      reason: 'Infeasible',
      message: /had passed when the plan was issued/,
    })
    site.send(planOf('late', ['up.example/web:1'], { spec: { readyBy: '2026-11-21T07:30:00Z' } }))
    const late = await site.reached('late', 'Fetching')
    t.match(late, {
      quote: { verdict: 'Infeasible' },
      message: /was to be ready by 2026-11-21T07:30:00Z, and lacks 10 bytes/,
    })
    open()
    await site.reached('late', 'Ready')
  },
)
