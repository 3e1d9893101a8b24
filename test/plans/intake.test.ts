import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ImageError } from '../../src/oci/errors.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

const source = 'up.example/mecm/web:1'

function siteWith(t: Test, options = {}): PlanSite {
  const site = new PlanSite(t.testdir(), options)
  for (const version of [1, 2, 3]) {
    site.engine.offer(`up.example/mecm/web:${version}`, {
      content: `web ${version}`,
      blobs: [{ name: `v${version}`, size: 10 }],
    })
  }
  t.teardown(() => site.stop())
  return site.start()
}

function revision(number: number, image = source, name = 'shop', metadata = {}) {
  return planOf(name, [image], { metadata: { revision: number, ...metadata } })
}

t.test('the same plan twice runs once', async t => {
  const site = siteWith(t)
  t.match(site.send(revision(1)), { outcome: 'accepted' })
  t.match(site.send(revision(1)), { outcome: 'unchanged', revision: 1 })
  await site.reached('shop', 'Ready')
  t.match(site.send(revision(1)), { outcome: 'unchanged' })
  t.match(site.post(revision(1)), { outcome: 'unchanged' })
  t.equal(site.engine.count('resolve'), 1)
  t.equal(site.phases('shop').length, 5)
})

t.test('a higher revision replaces one that is running; what was fetched stays', async t => {
  const site = siteWith(t)
  const never = new Promise<void>(() => {})
  site.engine.offer(source, {
    content: 'slow',
    blobs: [
      { name: 'shared', size: 10 },
      { name: 'x', size: 10 },
    ],
    gate: never,
  })
  site.send(revision(1))
  await site.reached('shop', 'Fetching')
  t.match(site.send(revision(2, 'up.example/mecm/web:2')), { outcome: 'accepted', revision: 2 })
  t.match(await site.reached('shop', 'Ready'), { revision: 2, images: [{ target: 'mecm/web:2' }] })
  t.strictSame(site.phases('shop'), [
    'Accepted',
    'Resolving',
    'Fetching',
    'Accepted',
    'Resolving',
    'Fetching',
    'Verifying',
    'Ready',
  ])
})

t.test('a lower revision is refused as stale, and the standing plan keeps its retained status', async t => {
  const site = siteWith(t)
  site.send(revision(3))
  await site.reached('shop', 'Ready')
  site.acknowledgeAll()
  t.match(site.send(revision(2)), { outcome: 'stale', revision: 2, problems: [/2 is lower than 3/] })
  const [message, ...more] = site.messages()
  t.strictSame(more, [])
  t.match(message, { topic: 'plans/shop/status', retain: false })
  t.match(JSON.parse(message?.payload ?? ''), {
    phase: 'Rejected',
    reason: 'Stale',
    status: 'Error',
    revision: 2,
    seq: 6,
  })
  t.match(site.plans.find('shop'), { phase: 'Ready', revision: 3, seq: 5 })
  t.match(site.post(revision(1)), { outcome: 'stale' })
  t.equal(site.messages().length, 1, 'over HTTP the receipt is the answer')
})

t.test('a plan that is not taken is answered with its package and hosts, too', async t => {
  const site = siteWith(t)
  const info = { packageId: 'abc', hostIp: ['10.0.0.7', '10.0.0.8'] }
  const answer = { package: info, mecHostInfo: [{ hostIp: '10.0.0.7', status: 'Error' }, { hostIp: '10.0.0.8' }] }
  site.send(planOf('bad', ['A:1'], { spec: { package: info } }))
  t.match(site.plans.find('bad'), { phase: 'Rejected', ...answer })
  site.send(revision(2))
  site.send(planOf('shop', ['up.example/web:1'], { metadata: { revision: 1 }, spec: { package: info } }))
  t.match(site.statuses.at(-1), { phase: 'Rejected', reason: 'Stale', ...answer })
  site.send(planOf('odd', ['A:1'], { spec: { package: { hostIp: 7 } } }))
  t.match(site.plans.find('odd'), { phase: 'Rejected', package: null, mecHostInfo: [] })
  site.send(planOf('gone', [], { spec: { withdrawn: true, package: info } }))
  t.match(site.plans.find('gone'), { phase: 'Withdrawn', package: info })
})

t.test('a bad plan is answered with every problem; with nothing accepted before, the answer is retained', async t => {
  const site = siteWith(t)
  const bad = planOf('shop', ['A:1', 'https://x/y'], { metadata: { revision: 7 } })
  t.match(site.send(bad), { outcome: 'rejected', name: 'shop', problems: { length: 2 } })
  const [message] = site.messages()
  t.match(message, { topic: 'plans/shop/status', retain: true })
  const status = site.plans.find('shop')
  t.match(status, { phase: 'Rejected', reason: 'Invalid', revision: 7, status: 'Error', hint: /Correct the plan/ })
  t.match(status?.message, /spec\.images\[0\]\.source: .*; spec\.images\[1\]\.source: /)
  t.match(
    site.send(revision(1)),
    { outcome: 'accepted' },
    'the corrected plan is taken, whatever revision the bad one said',
  )
  await site.reached('shop', 'Ready')
  t.match(site.send(bad), { outcome: 'rejected' })
  t.match(site.messages().at(-1), { retain: false })
  t.equal(site.plans.find('shop')?.phase, 'Ready')
})

t.test('what can not be parsed at all is answered under the name of its topic', async t => {
  const site = siteWith(t)
  for (const name of ['shop', 'Not A Name']) {
    t.match(site.plans.receive({ via: 'mqtt', scope: 'edge', name, payload: Buffer.from('{"'), retained: false }), {
      outcome: 'rejected',
      name,
    })
    t.match(site.messages().at(-1), { topic: `plans/${name}/status`, retain: true })
    t.match(site.plans.find(name), { phase: 'Rejected', revision: null, message: /neither JSON nor YAML/ })
  }
  t.match(site.send(revision(1), 'edge', 'other'), {
    outcome: 'rejected',
    name: 'other',
    problems: [/not the last level/],
  })
  t.match(site.plans.receive({ via: 'http', payload: new Uint8Array() }), { outcome: 'rejected', name: '' })
  t.equal(site.plans.list().length, 3)
})

t.test('a bad plan that the broker keeps is answered once, not at every connection', async t => {
  const site = siteWith(t)
  const bad = { ...revision(1), spec: { image: [] } }
  site.send(bad)
  const answered = site.messages().length
  t.match(site.send(bad, 'edge', 'shop', true), { outcome: 'rejected', problems: [/image/] })
  t.equal(site.messages().length, answered, 'its answer is retained beside it')
  site.send(bad)
  t.equal(site.messages().length, answered + 1, 'who sends it once more gets one more answer')
  site.send({ ...revision(2), spec: {} }, 'edge', 'shop', true)
  t.equal(site.messages().length, answered + 2, 'so does another bad plan')
})

t.test('an empty payload takes a refusal back, too', async t => {
  const site = siteWith(t)
  site.send(planOf('shop', []))
  t.match(site.empty('shop'), { outcome: 'withdrawn' })
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
  t.match(site.empty('never-seen'), { outcome: 'unknown' })
  t.equal(site.plans.find('never-seen'), undefined)
})

t.test('an empty payload ends work and hold; the same revision sent again begins afresh', async t => {
  const site = siteWith(t)
  site.engine.offer(source, { content: 'slow', blobs: [{ name: 'x', size: 10 }], gate: new Promise(() => {}) })
  site.send(revision(2))
  await site.reached('shop', 'Fetching')
  t.match(site.empty('shop'), { outcome: 'withdrawn', revision: 2 })
  t.match(site.plans.find('shop'), { phase: 'Withdrawn', status: null, mecHostInfo: [] })
  t.strictSame(site.plans.holds(), [])
  t.equal(site.plans.document('shop'), undefined)
  t.match(site.empty('shop'), { outcome: 'unchanged' })
  t.match(site.send(revision(1)), { outcome: 'stale' })
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
  site.engine.offer(source, { content: 'fast', blobs: [] })
  t.match(site.send(revision(2)), { outcome: 'accepted' })
  await site.reached('shop', 'Ready')
})

t.test('withdrawn by its field: stands until a higher revision', async t => {
  const site = siteWith(t)
  site.send(revision(1))
  await site.reached('shop', 'Ready')
  const withdrawal = (number: number) =>
    planOf('shop', [source], { metadata: { revision: number }, spec: { withdrawn: true } })
  t.match(site.send(withdrawal(1)), { outcome: 'withdrawn' }, 'without a higher revision, too')
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
  t.match(site.send(withdrawal(1)), { outcome: 'unchanged' })
  t.match(site.send(withdrawal(2)), { outcome: 'withdrawn', revision: 2 })
  t.match(site.plans.find('shop'), { phase: 'Withdrawn', revision: 2 }, 'the answer names the revision that withdrew')
  t.match(site.send(revision(2)), { outcome: 'unchanged' })
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
  t.match(site.send(revision(3)), { outcome: 'accepted' })
  await site.reached('shop', 'Ready')
})

t.test('a withdrawal of a plan that was never here has its answer', async t => {
  const site = siteWith(t)
  t.match(site.send(planOf('gone', [], { spec: { images: undefined, withdrawn: true } })), { outcome: 'withdrawn' })
  t.match(site.plans.find('gone'), { phase: 'Withdrawn', revision: 1 })
})

t.test('withdrawn over HTTP: the retained copy does not start it again, a higher revision or HTTP does', async t => {
  const site = siteWith(t)
  site.send(revision(2))
  site.send(revision(1, 'up.example/mecm/web:3'), 'group:shops')
  await site.reached('shop', 'Ready')
  t.match(site.plans.withdraw('shop'), { outcome: 'withdrawn' })
  t.match(site.plans.withdraw('shop'), { outcome: 'unknown' })
  t.match(site.send(revision(2)), { outcome: 'unchanged' })
  t.match(site.send(revision(1, 'up.example/mecm/web:3'), 'group:shops'), { outcome: 'unchanged' })
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn', 'of whatever scope')
  t.match(site.post(revision(2)), { outcome: 'accepted' })
  await site.reached('shop', 'Ready')
  site.plans.withdraw('shop')
  t.match(site.send(revision(3)), { outcome: 'accepted' })
  await site.reached('shop', 'Ready')
  site.plans.withdraw('shop')
  site.empty('shop')
  t.match(site.send(revision(3)), { outcome: 'accepted' }, 'its publisher took it back and sent it again')
})

t.test("the edge's own plan outranks a group's, whichever comes first", async t => {
  const site = siteWith(t)
  site.send(revision(5, 'up.example/mecm/web:2'), 'group:shops')
  t.match(await site.reached('shop', 'Ready'), { revision: 5 })
  t.match(site.send(revision(1)), { outcome: 'accepted' }, 'revisions count within a scope')
  t.match(await site.reached('shop', 'Ready'), { revision: 1, images: [{ target: 'mecm/web:1' }] })
  t.match(site.send(revision(6, 'up.example/mecm/web:3'), 'group:shops'), { outcome: 'accepted' })
  t.match(site.plans.find('shop'), { revision: 1, phase: 'Ready' })
  t.match(site.plans.document('shop'), { metadata: { revision: 1 } })
  t.match(site.empty('shop'), { outcome: 'withdrawn' })
  t.match(
    await site.reached('shop', 'Ready'),
    { revision: 6, images: [{ target: 'mecm/web:3' }] },
    'what remains counts again',
  )
  t.notOk(site.phases('shop').includes('Withdrawn'))
})

t.test("withdrawn: true on the edge's own topic outranks a group's plan, until it is emptied", async t => {
  const site = siteWith(t)
  site.send(revision(5, 'up.example/mecm/web:2'), 'group:shops')
  await site.reached('shop', 'Ready')
  site.send(planOf('shop', [source], { spec: { withdrawn: true } }))
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
  site.send(revision(6, 'up.example/mecm/web:2'), 'group:shops')
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
  site.empty('shop')
  t.match(await site.reached('shop', 'Ready'), { revision: 6 })
})

t.test('of two groups, the plan that was issued later counts, then the greater group', async t => {
  const site = siteWith(t)
  const at = (hour: number) => ({ issuedAt: `2026-11-21T0${hour}:00:00Z` })
  site.send(revision(1, 'up.example/mecm/web:1', 'shop', at(2)), 'group:shops')
  site.send(revision(9, 'up.example/mecm/web:2', 'shop', at(1)), 'group:all')
  t.match(await site.reached('shop', 'Ready'), { revision: 1 })
  site.send(revision(10, 'up.example/mecm/web:2', 'shop', at(3)), 'group:all')
  t.match(await site.reached('shop', 'Ready'), { revision: 10 })
  site.send(revision(2, 'up.example/mecm/web:3', 'shop', at(3)), 'group:shops')
  t.match(await site.reached('shop', 'Ready'), { revision: 2 })
  site.empty('shop', 'group:shops')
  t.match(await site.reached('shop', 'Ready'), { revision: 10 })
})

t.test(
  'a plan whose time has passed is Expired, on arrival and in the line; one that has begun may finish',
  async t => {
    const site = siteWith(t, { maxRuns: 1 })
    const until = (minute: number) => ({ notAfter: `2026-11-21T08:${minute}:00Z` })
    site.send(revision(1, source, 'late', { notAfter: '2026-11-21T07:59:59Z' }))
    t.match(site.plans.find('late'), {
      phase: 'Expired',
      status: 'Error',
      message: 'arrived after 2026-11-21T07:59:59Z',
    })

    const gate = Promise.withResolvers<void>()
    site.engine.offer('up.example/mecm/slow:1', {
      content: 'slow',
      blobs: [{ name: 's', size: 2 }],
      gate: gate.promise,
    })
    site.send(revision(1, 'up.example/mecm/slow:1', 'begun', until(10)))
    await site.reached('begun', 'Fetching')
    site.send(revision(1, source, 'queued', until(20)))
    await site.reached('queued', 'Waiting', 'Queue')
    site.clock += 15 * 60_000
    site.plans.sweep()
    t.equal(site.plans.find('queued')?.phase, 'Waiting')
    site.clock += 15 * 60_000
    site.plans.sweep()
    t.match(site.plans.find('queued'), { phase: 'Expired', message: 'not started before 2026-11-21T08:20:00Z' })
    gate.resolve()
    await site.reached('begun', 'Ready')
    t.notOk(site.engine.calls.includes('resolve mecm/web:1'))
  },
)

t.test('a plan of which nothing could be learnt before its notAfter has not begun', async t => {
  const site = siteWith(t, { retry: { firstMs: 10_000_000, maxMs: 10_000_000 } })
  const resolveErrors = [new ImageError('UNAVAILABLE', 'away')]
  site.engine.offer('up.example/mecm/away:1', { content: 'away', blobs: [], resolveErrors })
  site.send(revision(1, 'up.example/mecm/away:1', 'away', { notAfter: '2026-11-21T08:10:00Z' }))
  t.match(await site.reached('away', 'Waiting', 'Retry'), { quote: null })
  t.strictSame(site.phases('away'), ['Accepted', 'Resolving', 'Waiting/Retry'])
  await turn() // its pass ends after it has told so
  site.clock += 15 * 60_000
  site.plans.sweep()
  t.match(site.plans.find('away'), { phase: 'Expired', message: 'not started before 2026-11-21T08:10:00Z' })
})

t.test('what a group sent ends when the edge leaves the group', async t => {
  const dir = t.testdir()
  const first = new PlanSite(dir).start()
  first.engine.offer(source, { content: 'x', blobs: [] })
  first.send(revision(1), 'group:shops')
  await first.reached('shop', 'Ready')
  await first.stop()
  const second = new PlanSite(dir, { edge: { id: 'edge-1', groups: ['all'], platforms: [] } }).start()
  t.teardown(() => second.stop())
  t.equal(second.plans.find('shop')?.phase, 'Withdrawn')
})

t.test('the list is by name', async t => {
  const site = siteWith(t)
  for (const name of ['c', 'a', 'b']) site.send(revision(1, `up.example/mecm/${name}:1`, name))
  t.strictSame(
    site.plans.list().map(status => status.plan),
    ['a', 'b', 'c'],
  )
  t.match(site.plans.document('a'), { metadata: { name: 'a' } })
  t.equal(site.plans.document('d'), undefined)
})
