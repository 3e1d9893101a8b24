/** What plans do when the link is closed to them: windows, budgets, and the clock that decides. In virtual time. */
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { readWindow } from '../../src/oci/time-window.ts'
import { Link, type LinkOptions } from '../../src/transfer/link/link.ts'
import { blobDigest, FakeEngine } from '../fixtures/fake-engine.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const logger = pino({ level: 'silent' })
const nightly = readWindow({ from: '01:00', to: '05:00', timezone: 'Asia/Shanghai' })

/** A site whose link goes by a clock of its own; the plans' clock shows the same. */
function siteWith(t: Test, options: Partial<LinkOptions>, at = '2026-11-21T08:00:00Z') {
  const clock = new VirtualClock(at)
  const engine = new FakeEngine()
  engine.link = new Link({ logger, clock, ...options })
  engine.link.start()
  const site = new PlanSite(t.testdir(), { now: () => clock.now() }, engine).start()
  t.teardown(() => site.stop())
  const offer = (name: string, gate?: Promise<void>) => {
    engine.offer(`up.example/${name}:1`, {
      content: name,
      blobs: [{ name: `${name} layer`, size: 1000 }],
      ...(gate === undefined ? {} : { gate }),
    })
    return planOf(name, [`up.example/${name}:1`])
  }
  return { site, engine, clock, offer }
}

/** A budget in memory. */
function dailyBudget(bytes: number): Pick<LinkOptions, 'budget'> {
  const rows = { find: () => undefined, put: () => undefined }
  return { budget: { limits: { bytes, per: 'day', timezone: 'UTC', groups: [] }, rows } }
}

t.test('outside the windows a plan is resolved and quoted, says until when it waits, and begins by itself', async t => {
  const { site, engine, clock, offer } = siteWith(t, { windows: [nightly] })
  site.send(offer('shop'))
  const waiting = await site.reached('shop', 'Waiting', 'Window')
  t.match(waiting, {
    status: 'Processing',
    message: 'outside the transfer windows; goes on at 2026-11-21T17:00:00Z',
    quote: { bytesMissing: 1000 },
  })
  t.equal(engine.count('fetch'), 0)
  await clock.until('2026-11-21T16:59:59Z')
  t.equal(engine.count('resolve'), 1, 'it is not tried in vain meanwhile')
  await clock.until('2026-11-21T17:00:00Z')
  await site.reached('shop', 'Ready')
  t.equal(engine.count('resolve'), 2)
})

t.test('a plan whose notAfter passes before its window opens has not begun', async t => {
  const { site, engine, clock, offer } = siteWith(t, { windows: [nightly] })
  const plan = offer('shop')
  site.send({ ...plan, metadata: { ...plan.metadata, notAfter: '2026-11-21T12:00:00Z' } })
  await site.reached('shop', 'Waiting', 'Window')
  await clock.until('2026-11-21T12:00:01Z')
  site.plans.sweep()
  t.match(site.plans.find('shop'), { phase: 'Expired', message: 'not started before 2026-11-21T12:00:00Z' })
  t.equal(engine.count('fetch'), 0)
})

t.test('a window that closes during a transfer suspends it; its place is free, and no failure is told', async t => {
  const { site, engine, clock, offer } = siteWith(t, { windows: [nightly] }, '2026-11-21T20:00:00Z')
  const gate = Promise.withResolvers<void>()
  site.send(offer('shop', gate.promise))
  await site.reached('shop', 'Fetching')
  await clock.until('2026-11-21T21:00:00Z')
  gate.resolve()
  const waiting = await site.reached('shop', 'Waiting', 'Window')
  t.match(waiting, {
    message: 'outside the transfer windows; goes on at 2026-11-22T17:00:00Z',
    images: [{ phase: 'Waiting', error: null, attempts: 1 }],
  })
  await clock.until('2026-11-22T17:00:00Z')
  await site.reached('shop', 'Ready')
  t.same(site.phases('shop'), [
    'Accepted',
    'Resolving',
    'Fetching',
    'Waiting/Window',
    'Resolving',
    'Fetching',
    'Verifying',
    'Ready',
  ])
  t.equal(engine.count('fetch'), 2)
})

t.test("a plan's own window takes the place of the edge's", async t => {
  const { site, clock, offer } = siteWith(t, { windows: [nightly] })
  const own = { window: { from: '09:00', to: '10:00', timezone: 'UTC' } }
  const document = offer('early')
  site.send({ ...document, spec: { ...document.spec, ...own } })
  site.send(offer('nightly'))
  t.match(await site.reached('early', 'Waiting', 'Window'), {
    message: "outside the plan's own windows; goes on at 2026-11-21T09:00:00Z",
  })
  await site.reached('nightly', 'Waiting', 'Window')
  await clock.until('2026-11-21T09:00:00Z')
  await site.reached('early', 'Ready')
  t.equal(site.plans.find('nightly')?.phase, 'Waiting')
})

t.test('what is here already needs no window', async t => {
  const { site, engine, offer } = siteWith(t, { windows: [nightly] })
  engine.has('shop layer')
  site.send(offer('shop'))
  await site.reached('shop', 'Ready')
})

t.test('what a crash left complete but for its place needs no window', async t => {
  const { site, engine, offer } = siteWith(t, { windows: [nightly] })
  engine.kept.set(blobDigest('shop layer'), 1000)
  site.send(offer('shop'))
  await site.reached('shop', 'Ready')
  engine.kept.set(blobDigest('other layer'), 999)
  site.send(offer('other'))
  await site.reached('other', 'Waiting', 'Window')
})

for (const atomic of [false, true]) {
  const what = atomic ? 'waits for the others of an atomic plan' : 'is put in place while the others wait'
  t.test(`an image that needs no window ${what}`, async t => {
    const { site, engine, clock, offer } = siteWith(t, { windows: [nightly] })
    for (const name of ['here', 'absent']) offer(name)
    engine.has('here layer')
    site.send(planOf('both', ['up.example/here:1', 'up.example/absent:1'], { spec: { atomic } }))
    t.match(await site.reached('both', 'Waiting', 'Window'), {
      message: 'outside the transfer windows; goes on at 2026-11-21T17:00:00Z',
      images: [{ phase: atomic ? 'Waiting' : 'Ready' }, { phase: 'Waiting' }],
    })
    t.same([...engine.tags.keys()], atomic ? [] : ['here:1'])
    await clock.until('2026-11-21T17:00:00Z')
    t.match(await site.reached('both', 'Ready'), { images: [{ phase: 'Ready' }, { phase: 'Ready' }] })
  })
}

t.test('a clock that is put right is noticed within a minute', async t => {
  const { site, clock, offer } = siteWith(t, { windows: [nightly] })
  site.send(offer('shop'))
  await site.reached('shop', 'Waiting', 'Window')
  clock.jump('2026-11-21T18:00:00Z')
  await clock.pass(60_000)
  await site.reached('shop', 'Ready')
})

t.test('a used-up budget holds plans back until the next period; one of priority 100 goes on', async t => {
  const { site, engine, clock, offer } = siteWith(t, dailyBudget(500))
  engine.link.body('up.example', undefined).came(500)
  site.send(offer('shop'))
  t.match(await site.reached('shop', 'Waiting', 'Budget'), {
    message: 'the budget of 500 bytes a day is used up; goes on at 2026-11-22T00:00:00Z',
  })
  const urgent = offer('urgent')
  site.send({ ...urgent, spec: { ...urgent.spec, priority: 100 } })
  await site.reached('urgent', 'Ready')
  t.equal(site.plans.find('shop')?.phase, 'Waiting')
  await clock.until('2026-11-22T00:00:00Z')
  await site.reached('shop', 'Ready')
})

t.test('a plan that waits for the link can be tried at once, or withdrawn', async t => {
  const { site, engine, clock, offer } = siteWith(t, { windows: [nightly] })
  site.send(offer('shop'))
  await site.reached('shop', 'Waiting', 'Window')
  site.plans.retry('shop')
  await site.reached('shop', 'Resolving')
  await site.reached('shop', 'Waiting', 'Window')
  t.equal(engine.count('resolve'), 2)
  site.plans.withdraw('shop')
  await site.reached('shop', 'Withdrawn')
  t.equal(clock.timers, 0, 'nothing is waited for any more')
})

t.test('a budget of a group holds back its images, not the others', async t => {
  const groups = [{ name: 'satellite', hosts: ['sat.example'], bytes: 10 }]
  const rows = { find: () => undefined, put: () => undefined }
  const { site, engine } = siteWith(t, { budget: { limits: { per: 'day', timezone: 'UTC', groups }, rows } })
  engine.link.body('sat.example', undefined).came(10)
  engine.offer('sat.example/a:1', { content: 'a', blobs: [{ name: 'a', size: 10 }] })
  engine.offer('lan.example/b:1', { content: 'b', blobs: [{ name: 'b', size: 10 }] })
  site.send(planOf('both', ['sat.example/a:1', 'lan.example/b:1'], { spec: { atomic: false } }))
  t.match(await site.reached('both', 'Waiting', 'Budget'), {
    message: 'the budget of group satellite of 10 bytes a day is used up; goes on at 2026-11-22T00:00:00Z',
    images: [{ phase: 'Waiting' }, { phase: 'Ready' }],
  })
  t.ok(engine.tags.has('b:1'), 'what need not wait is put in place')
})
