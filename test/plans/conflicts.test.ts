import t, { type Test } from 'tap'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

const target = 'mecm/web:stable'

function siteWith(t: Test): PlanSite {
  const site = new PlanSite(t.testdir())
  t.teardown(() => site.stop())
  return site.start()
}

/** A plan for {@link target}, issued at an hour. */
function wants(name: string, hour: number, source: string, image = {}) {
  return planOf(name, [{ source, target, ...image }], { metadata: { issuedAt: `2026-11-21T0${hour}:00:00Z` } })
}

t.test('the plan that was issued later wins, whatever order they arrive in', async t => {
  for (const order of ['older first', 'newer first']) {
    const site = siteWith(t)
    site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
    site.engine.offer('up.example/web:2', { content: 'two', blobs: [] })
    const plans = [wants('a-new', 5, 'up.example/web:2'), wants('b-old', 4, 'up.example/web:1')]
    if (order === 'older first') plans.reverse()
    for (const plan of plans) {
      site.send(plan)
      await site.reached(
        plan.metadata.name,
        plan.metadata.name === 'b-old' && order === 'newer first' ? 'Superseded' : 'Ready',
      )
    }
    t.match(await site.reached('b-old', 'Superseded'), {
      status: null,
      reason: null,
      message: /the plan a-new.*mecm\/web:stable/,
    })
    t.equal(site.plans.find('a-new')?.phase, 'Ready')
    t.equal(site.engine.tags.get(target), site.plans.find('a-new')?.images[0]?.digest, order)
  }
})

t.test('then the greater name', async t => {
  const site = siteWith(t)
  site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
  site.engine.offer('up.example/web:2', { content: 'two', blobs: [] })
  site.send(wants('b', 4, 'up.example/web:1'))
  await site.reached('b', 'Ready')
  site.send(wants('a', 4, 'up.example/web:2'))
  t.match(await site.reached('a', 'Superseded'), { message: /the plan b/ })
  t.equal(site.engine.count('fetch'), 1, 'decided before anything was fetched')
})

t.test('the same content is no conflict', async t => {
  const site = siteWith(t)
  site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
  site.engine.offer('other.example/web:9', { content: 'one', blobs: [] })
  site.send(wants('a', 4, 'up.example/web:1'))
  site.send(wants('b', 5, 'other.example/web:9'))
  await site.reached('a', 'Ready')
  await site.reached('b', 'Ready')
})

t.test('pins decide at once, and stop a run', async t => {
  const site = siteWith(t)
  const never = new Promise<void>(() => {})
  const one = site.engine.offer('up.example/web:1', { content: 'one', blobs: [{ name: 'x', size: 2 }], gate: never })
  const two = site.engine.offer('up.example/web:2', { content: 'two', blobs: [] })
  site.send(wants('old', 4, 'up.example/web:1', { digest: one }))
  await site.reached('old', 'Fetching')
  site.send(wants('new', 5, 'up.example/web:2', { digest: two }))
  t.equal(site.plans.find('old')?.phase, 'Superseded', 'when receive returns')
  t.equal(site.plans.find('new')?.phase, 'Accepted')
  await site.reached('new', 'Ready')
  site.send(wants('older', 3, 'up.example/web:1', { digest: one }))
  t.match(site.plans.find('older'), { phase: 'Superseded', message: /the plan new/ })
})

t.test('a plan that is superseded itself supersedes all the same: the order of arrival does not matter', async t => {
  for (const order of [
    ['a', 'b', 'c'],
    ['c', 'b', 'a'],
    ['b', 'c', 'a'],
  ]) {
    const site = siteWith(t)
    const [x, y] = ['x', 'y'].map(content => site.engine.offer(`up.example/web:${content}`, { content, blobs: [] }))
    const plan = (name: string, hour: number, images: [string, string | undefined][]) =>
      planOf(
        name,
        images.map(([to, digest]) => ({ source: 'up.example/web', digest, target: to })),
        {
          metadata: { issuedAt: `2026-11-21T0${hour}:00:00Z` },
        },
      )
    const plans = new Map([
      ['a', plan('a', 1, [['t/one:1', x]])],
      [
        'b',
        plan('b', 2, [
          ['t/one:1', y],
          ['t/two:1', x],
        ]),
      ],
      ['c', plan('c', 3, [['t/two:1', y]])],
    ])
    for (const name of order) site.send(plans.get(name) ?? {})
    await site.reached('c', 'Ready')
    t.match(site.plans.list(), [{ phase: 'Superseded' }, { phase: 'Superseded' }, { phase: 'Ready' }], order.join())
  }
})

t.test('a plan that was withdrawn or has expired wins nothing', async t => {
  const site = siteWith(t)
  site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
  site.engine.offer('up.example/web:2', { content: 'two', blobs: [] })
  site.send(wants('new', 6, 'up.example/web:2'))
  await site.reached('new', 'Ready')
  site.empty('new')
  site.send(
    planOf('expired', [{ source: 'up.example/web:2', target }], { metadata: { notAfter: '2026-11-21T07:30:00Z' } }),
  )
  site.send(wants('old', 4, 'up.example/web:1'))
  await site.reached('old', 'Ready')
})

t.test(
  'a superseded plan stays so when the winner goes, until it is retried or sent with a higher revision',
  async t => {
    const site = siteWith(t)
    site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
    site.engine.offer('up.example/web:2', { content: 'two', blobs: [] })
    site.send(wants('old', 4, 'up.example/web:1'))
    await site.reached('old', 'Ready')
    site.send(wants('new', 6, 'up.example/web:2'))
    await site.reached('new', 'Ready')
    t.match(site.plans.retry('old'), { outcome: 'accepted' })
    await site.reached('old', 'Superseded')
    site.empty('new')
    t.equal(site.plans.find('old')?.phase, 'Superseded')
    site.plans.retry('old')
    await site.reached('old', 'Ready')
  },
)

t.test('a tag that a later plan wants is not removed by an earlier one', async t => {
  const site = siteWith(t)
  site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
  site.engine.offer('up.example/db:1', { content: 'db', blobs: [] })
  site.send(wants('shop', 5, 'up.example/web:1'))
  await site.reached('shop', 'Ready')
  const removes = (name: string, hour: number) =>
    planOf(name, ['up.example/db:1'], {
      metadata: { issuedAt: `2026-11-21T0${hour}:00:00Z` },
      spec: { remove: [target] },
    })
  site.send(removes('before', 4))
  t.match(await site.reached('before', 'Ready'), { message: /mecm\/web:stable is not removed: the plan shop/ })
  t.ok(site.engine.tags.has(target))
  site.send(removes('then', 6))
  await site.reached('then', 'Ready')
  t.notOk(site.engine.tags.has(target))
})

t.test('holds: what standing plans need, and the last that was Ready until the next one is', async t => {
  const site = siteWith(t)
  const one = site.engine.offer('up.example/web:1', { content: 'one', blobs: [] })
  const gate = Promise.withResolvers<void>()
  const two = site.engine.offer('up.example/web:2', {
    content: 'two',
    blobs: [{ name: 'x', size: 2 }],
    gate: gate.promise,
  })
  const digests = () =>
    site.plans
      .holds()
      .map(hold => hold.digest)
      .sort()
  site.send(wants('shop', 4, 'up.example/web:1'))
  t.strictSame(site.plans.holds(), [{ plan: 'shop', repository: 'mecm/web', tag: 'stable', digest: null }])
  await site.reached('shop', 'Ready')
  t.strictSame(digests(), [one])
  t.strictSame(site.plans.holdsIn('mecm/web'), site.plans.holds())
  t.strictSame(site.plans.holdsIn('mecm/other'), [])
  const next = wants('shop', 4, 'up.example/web:2')
  site.send({ ...next, metadata: { ...next.metadata, revision: 2 } })
  await site.reached('shop', 'Fetching')
  t.strictSame(digests(), [one, two].sort(), 'the old until the new is in place')
  gate.resolve()
  await site.reached('shop', 'Ready')
  t.strictSame(digests(), [two])

  const late = Promise.withResolvers<void>()
  const three = site.engine.offer('up.example/web:3', {
    content: 'three',
    blobs: [{ name: 'y', size: 2 }],
    gate: late.promise,
  })
  site.send(wants('winner', 5, 'up.example/web:3'))
  await site.reached('shop', 'Superseded')
  await site.reached('winner', 'Fetching')
  t.strictSame(digests(), [two, three].sort(), 'what the loser has in place is held until the winner is in place')
  late.resolve()
  await site.reached('winner', 'Ready')
  t.strictSame(digests(), [three])
  site.empty('winner')
  t.strictSame(digests(), [])
})
