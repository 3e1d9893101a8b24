import t, { type Test } from 'tap'
import { ImageError } from '../../src/oci/errors.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

function siteWith(t: Test, maxRuns: number, dir = t.testdir()): PlanSite {
  const site = new PlanSite(dir, { maxRuns })
  t.teardown(() => site.stop())
  return site.start()
}

/** A plan with one image of its own, whose fetch waits until it is let go. */
function gated(site: PlanSite, name: string, priority = 50) {
  const gate = Promise.withResolvers<void>()
  const source = `up.example/${name}:1`
  site.engine.offer(source, { content: name, blobs: [{ name: `${name} layer`, size: 10 }], gate: gate.promise })
  return { document: planOf(name, [source], { spec: { priority } }), letGo: gate.resolve }
}

t.test('so many plans at once, the others wait in the line', async t => {
  const site = siteWith(t, 2)
  const plans = ['a', 'b', 'c'].map(name => gated(site, name))
  for (const { document } of plans) site.send(document)
  await site.reached('a', 'Fetching')
  await site.reached('b', 'Fetching')
  t.match(await site.reached('c', 'Waiting', 'Queue'), { status: 'Processing', message: '2 other plans are running' })
  plans[0]?.letGo()
  await site.reached('a', 'Ready')
  await site.reached('c', 'Fetching')
  for (const { letGo } of plans) letGo()
  await site.reached('c', 'Ready')
})

t.test('by priority, then by arrival', async t => {
  const site = siteWith(t, 1)
  const first = gated(site, 'first', 100)
  site.send(first.document)
  await site.reached('first', 'Fetching')
  const others = [gated(site, 'low', 10), gated(site, 'mid', 50), gated(site, 'high', 90), gated(site, 'mid-later', 50)]
  for (const { document, letGo } of others) {
    letGo()
    site.send(document)
  }
  await site.reached('mid-later', 'Waiting', 'Queue')
  first.letGo()
  await site.reached('low', 'Ready')
  const order = site.engine.calls.filter(call => call.startsWith('publish'))
  t.strictSame(
    order,
    ['first', 'high', 'mid', 'mid-later', 'low'].map(name => `publish ${name}:1`),
  )
})

t.test('a plan of higher priority takes the place of the least one, which goes on afterwards', async t => {
  const site = siteWith(t, 2)
  const [low, mid, high] = [gated(site, 'low', 10), gated(site, 'mid', 50), gated(site, 'high', 90)]
  site.send(low.document)
  site.send(mid.document)
  await site.reached('low', 'Fetching')
  await site.reached('mid', 'Fetching')
  site.send(high.document)
  await site.reached('high', 'Fetching')
  await site.reached('low', 'Waiting', 'Queue')
  t.equal(site.plans.find('mid')?.phase, 'Fetching')
  t.notOk(site.phases('high').includes('Waiting/Queue'))
  for (const { letGo } of [low, mid, high]) letGo()
  await site.reached('low', 'Ready')
})

t.test('a plan that waits for its next try holds no place', async t => {
  const site = new PlanSite(t.testdir(), { maxRuns: 1, retry: { firstMs: 60_000, maxMs: 60_000 } }).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/a:1', {
    content: 'a',
    blobs: [],
    resolveErrors: [new ImageError('DNS', 'no such host')],
  })
  site.engine.offer('up.example/b:1', { content: 'b', blobs: [] })
  site.send(planOf('a', ['up.example/a:1']))
  await site.reached('a', 'Waiting', 'Retry')
  site.send(planOf('b', ['up.example/b:1']))
  await site.reached('b', 'Ready')
  t.match(site.send(planOf('a', ['up.example/a:1'], { metadata: { revision: 2 } })), { outcome: 'accepted' })
  t.match(await site.reached('a', 'Ready'), { revision: 2 }, 'a new revision does not wait for the old one')
})

t.test('waits grow while nothing is gained', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 1_000, maxMs: 60_000 } }).start()
  t.teardown(() => site.stop())
  const away = () => new ImageError('UNAVAILABLE', 'away')
  site.engine.offer('up.example/a:1', { content: 'a', blobs: [], resolveErrors: [away(), away(), away(), away()] })
  site.engine.offer('up.example/b:1', { content: 'b', blobs: [] })
  site.send(planOf('a', ['up.example/a:1']))
  for (const [low, high] of [
    [500, 1_000],
    [1_000, 2_000],
    [2_000, 4_000],
    [4_000, 8_000],
  ]) {
    const { message } = await site.reached('a', 'Waiting', 'Retry')
    const wait = Date.parse(/next try at (.*)$/.exec(message ?? '')?.[1] ?? '') - site.clock
    t.ok(wait >= (low ?? 0) - 1_000 && wait <= (high ?? 0), `${wait} ms`)
    site.plans.retry('a')
    await site.reached('a', 'Resolving')
  }
  await site.reached('a', 'Ready')
})

t.test('a pass that brought something begins the waits anew', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 100_000, maxMs: 1_000_000 } }).start()
  t.teardown(() => site.stop())
  const fetchErrors = Array.from({ length: 3 }, () => new ImageError('STALLED', 'broke'))
  site.engine.offer('up.example/a:1', { content: 'a', blobs: [{ name: 'a', size: 10 }], fetchErrors })
  site.send(planOf('a', ['up.example/a:1']))
  for (const _ of [1, 2]) {
    await site.reached('a', 'Waiting', 'Retry')
    site.plans.retry('a')
    await site.reached('a', 'Fetching')
  }
  const { message } = await site.reached('a', 'Waiting', 'Retry')
  const wait = Date.parse(/next try at (.*)$/.exec(message ?? '')?.[1] ?? '') - site.clock
  t.ok(wait >= 49_000 && wait <= 100_000, `${wait} ms`)
})

t.test('stop ends every run and loses nothing; the next start goes on by itself', async t => {
  const dir = t.testdir()
  const first = new PlanSite(dir, { maxRuns: 1 }).start()
  const slow = gated(first, 'slow')
  first.engine.offer('up.example/done:1', { content: 'done', blobs: [] })
  first.send(planOf('done', ['up.example/done:1']))
  await first.reached('done', 'Ready')
  first.send(slow.document)
  await first.reached('slow', 'Fetching')
  first.engine.offer('up.example/next:1', { content: 'next', blobs: [] })
  first.send(planOf('next', ['up.example/next:1']))
  const seq = (await first.reached('next', 'Waiting', 'Queue')).seq
  await first.stop()
  slow.letGo()

  const second = new PlanSite(dir, { maxRuns: 1 }, first.engine)
  t.teardown(() => second.stop())
  first.engine.calls.length = 0
  second.start()
  await second.reached('slow', 'Ready')
  await second.reached('next', 'Ready')
  t.equal(first.engine.count('resolve done'), 0, 'what was Ready stays so')
  t.strictSame(
    second.statuses.map(status => status.seq),
    second.statuses.map((_, at) => seq + 1 + at),
    'seq goes on',
  )
})

t.test('after a restart, what a plan that is not atomic has published stays pinned to what it was', async t => {
  const dir = t.testdir()
  const first = new PlanSite(dir).start()
  const digest = first.engine.offer('up.example/a:1', { content: 'a', blobs: [] })
  const slow = gated(first, 'slow')
  first.send(planOf('two', ['up.example/a:1', 'up.example/slow:1'], { spec: { atomic: false } }))
  await first.reached('two', 'Fetching')
  while (!first.engine.tags.has('a:1')) await new Promise(resolve => setImmediate(resolve))
  await first.stop()
  first.engine.offer('up.example/a:1', { content: 'moved', blobs: [] })
  slow.letGo()
  const second = new PlanSite(dir, {}, first.engine).start()
  t.teardown(() => second.stop())
  t.match(await second.reached('two', 'Ready'), { images: [{ digest }, {}] })
  t.strictSame(first.engine.pinned, [digest])
})

t.test('a plan that is withdrawn while it waits does not run', async t => {
  const site = siteWith(t, 1)
  const [a, b] = [gated(site, 'a'), gated(site, 'b')]
  site.send(a.document)
  await site.reached('a', 'Fetching')
  site.send(b.document)
  await site.reached('b', 'Waiting', 'Queue')
  site.empty('b')
  a.letGo()
  await site.reached('a', 'Ready')
  await new Promise(resolve => setImmediate(resolve))
  t.notOk(site.engine.calls.includes('resolve b:1'))
})

t.test('a result that can not be written down is not lost: the plan runs again', async t => {
  const site = siteWith(t, 1)
  const a = gated(site, 'a')
  site.send(a.document)
  await site.reached('a', 'Fetching')
  site.state.db.exec(`CREATE TRIGGER full BEFORE INSERT ON plan_statuses WHEN NEW.phase = 'Ready'
    BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
  a.letGo()
  while (site.engine.count('confirm') < 3) await new Promise(resolve => setImmediate(resolve))
  t.not(site.plans.find('a')?.phase, 'Ready')
  site.state.db.exec('DROP TRIGGER full')
  await site.reached('a', 'Ready')
})

t.test('a plan that nothing comes over the link for says so, and goes on at once when something does', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 600_000, maxMs: 600_000 } }).start()
  t.teardown(() => site.stop())
  const away = new ImageError('TIMEOUT', 'no answer')
  const full = new ImageError('LOCAL_REGISTRY', 'no', { side: 'local' })
  for (const [name, error] of Object.entries({ cut: away, refused: away, local: full })) {
    site.engine.offer(`${name}.example/${name}:1`, { content: name, blobs: [], resolveErrors: [error] })
  }
  site.engine.cutOff.add('cut.example').add('local.example')
  for (const name of ['cut', 'refused', 'local']) site.send(planOf(name, [`${name}.example/${name}:1`]))
  const { message, hint } = await site.reached('cut', 'Waiting', 'Link')
  t.match(message, /^nothing comes over the link: cut:1: TIMEOUT: no answer; next try at 2026-11-21T08:/)
  t.equal(hint, away.hint)
  await site.reached('refused', 'Waiting', 'Retry')
  await site.reached('local', 'Waiting', 'Retry')

  site.plans.linkIsBack()
  await site.reached('cut', 'Ready')
  t.equal(site.engine.count('resolve'), 4, 'what waits for something else goes on waiting')
  site.plans.linkIsBack()
  t.equal(site.plans.find('refused')?.phase, 'Waiting')
})

t.test('a link that is back for nothing is believed once, then once a minute, until something is gained', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 600_000, maxMs: 600_000 } }).start()
  t.teardown(() => site.stop())
  const away = () => new ImageError('TIMEOUT', 'no answer')
  const failures = { resolveErrors: [away(), away(), away()], fetchErrors: [away()] }
  site.engine.offer('cut.example/a:1', { content: 'a', blobs: [{ name: 'a', size: 10 }], ...failures })
  site.engine.cutOff.add('cut.example')
  const triedAgain = async (times: number) => {
    await site.reached('a', 'Resolving')
    await site.reached('a', 'Waiting', 'Link')
    t.equal(site.engine.count('resolve'), times)
  }
  site.send(planOf('a', ['cut.example/a:1']))
  await triedAgain(1)
  site.plans.linkIsBack()
  await triedAgain(2)

  site.plans.linkIsBack()
  t.match(await site.plans.why('a'), [{ phase: 'Waiting', nextTryAt: '2026-11-21T08:01:00Z', failures: 2 }])
  t.match(site.plans.find('a')?.message, /; next try at 2026-11-21T08:01:00Z$/, 'the status says so, too')
  site.clock += 60_000
  site.plans.linkIsBack()
  await triedAgain(3)

  site.clock += 60_000
  site.plans.linkIsBack()
  await site.reached('a', 'Fetching')
  await site.reached('a', 'Waiting', 'Link')
  site.plans.linkIsBack()
  await site.reached('a', 'Ready')
})

t.test('that the link is back is of use though nothing can be written down', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 600_000, maxMs: 600_000 } }).start()
  t.teardown(() => site.stop())
  const away = () => new ImageError('TIMEOUT', 'no answer')
  site.engine.cutOff.add('cut.example')
  for (const name of ['a', 'b']) {
    site.engine.offer(`cut.example/${name}:1`, { content: name, blobs: [], resolveErrors: [away(), away()] })
    site.send(planOf(name, [`cut.example/${name}:1`]))
    await site.reached(name, 'Waiting', 'Link')
  }
  site.plans.linkIsBack()
  for (const name of ['a', 'b']) {
    await site.reached(name, 'Resolving')
    await site.reached(name, 'Waiting', 'Link')
  }
  site.state.db.pragma('query_only = 1')
  site.plans.linkIsBack()
  site.state.db.pragma('query_only = 0')
  for (const name of ['a', 'b']) {
    t.match(await site.plans.why(name), [{ nextTryAt: '2026-11-21T08:01:00Z' }])
    t.notMatch(site.plans.find(name)?.message, /08:01:00Z$/, 'as nothing could be written')
  }
})

t.test('a link that comes back haltingly is given another try within a minute, once', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 600_000, maxMs: 600_000 } }).start()
  t.teardown(() => site.stop())
  const away = (retryAfterMs?: number) => new ImageError('DNS', 'no', retryAfterMs ? { retryAfterMs } : {})
  const waits = async (name: string, least: number, most: number) => {
    await site.reached(name, 'Resolving')
    const { message } = await site.reached(name, 'Waiting', 'Retry')
    const wait = Date.parse(/next try at (.*)$/.exec(message ?? '')?.[1] ?? '') - site.clock
    t.ok(least <= wait && wait <= most, `${name}: ${wait} ms`)
  }
  site.engine.offer('cut.example/a:1', { content: 'a', blobs: [], resolveErrors: [away(), away(), away()] })
  site.engine.offer('cut.example/b:1', { content: 'b', blobs: [], resolveErrors: [away(), away(120_000)] })
  site.engine.cutOff.add('cut.example')
  for (const name of ['a', 'b']) {
    site.send(planOf(name, [`cut.example/${name}:1`]))
    await site.reached(name, 'Waiting', 'Link')
  }
  site.engine.cutOff.clear()
  site.plans.linkIsBack()
  await Promise.all([waits('a', 29_000, 60_000), waits('b', 119_000, 121_000)])
  site.plans.retry('a')
  await waits('a', 299_000, 600_000)
})

t.test('the link’s return puts no try off', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 10_000, maxMs: 10_000 } }).start()
  t.teardown(() => site.stop())
  const away = () => new ImageError('TIMEOUT', 'no answer')
  site.engine.offer('cut.example/a:1', { content: 'a', blobs: [], resolveErrors: [away(), away()] })
  site.engine.cutOff.add('cut.example')
  site.send(planOf('a', ['cut.example/a:1']))
  await site.reached('a', 'Waiting', 'Link')
  site.plans.linkIsBack()
  await site.reached('a', 'Resolving')
  await site.reached('a', 'Waiting', 'Link')
  const nextTry = async () => (await site.plans.why('a'))[0]?.nextTryAt
  const before = await nextTry()
  site.plans.linkIsBack()
  t.equal(await nextTry(), before)
})

t.test('one image of several that something came for, and it is not the link', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 600_000, maxMs: 600_000 } }).start()
  t.teardown(() => site.stop())
  const away = () => new ImageError('UNAVAILABLE', 'away')
  site.engine.offer('cut.example/a:1', { content: 'a', blobs: [], resolveErrors: [away()] })
  site.engine.offer('other.example/b:1', { content: 'b', blobs: [], resolveErrors: [away()] })
  site.engine.cutOff.add('cut.example')
  site.send(planOf('both', ['cut.example/a:1', 'other.example/b:1'], { spec: { atomic: false } }))
  await site.reached('both', 'Waiting', 'Retry')
})
