/** When a Repository is synced, from where, and what becomes of syncs that fail, wait or are cut off. */
import t from 'tap'
import { readWindow } from '../../src/oci/time-window.ts'
import { Link } from '../../src/transfer/link/link.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { image } from '../fixtures/images.ts'
import {
  addRepository,
  addSource,
  databaseText,
  epoch,
  openAppSite,
  openManagementSite,
  reached,
} from '../fixtures/management-site.ts'
import { offer } from '../fixtures/site.ts'
import { silent } from '../fixtures/state-folder.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const hourMs = 3_600_000
const signal = new AbortController().signal

t.test('the schedule syncs what is due, and moves only what has changed', async t => {
  const site = await openAppSite(t)
  site.repositories.start()
  addRepository(site, { syncInterval: '1h' })
  await reached(site, 'Success')
  const before = site.store.findTag('mecm/app', '1')

  site.upstream.clearLog()
  site.clock.now += hourMs - 1
  await site.repositories.tick()
  t.equal(site.upstream.count(), 0, 'nothing before the interval is over')
  site.clock.now += 1
  await site.repositories.tick()
  t.same(
    site.upstream.requests.map(({ method, kind }) => `${method} ${kind}`),
    ['HEAD manifest'],
    'an unchanged tag costs one HEAD',
  )
  t.same(site.store.findTag('mecm/app', '1'), before, 'and its date stays')

  offer(site.upstream, 'mecm/app', '1', image({ seed: 'two', layers: [3000, { seed: 'new', bytes: 1000 }] }))
  site.upstream.clearLog()
  site.clock.now += hourMs
  await site.repositories.tick()
  t.ok(site.upstream.count({ kind: 'blob', method: 'GET' }) > 0)
  t.not(site.store.findTag('mecm/app', '1')?.descriptor.digest, before?.descriptor.digest)
  t.same(
    site.repositories.runs('default', 'app').map(run => run.trigger),
    ['schedule', 'schedule', 'created'],
  )
})

t.test('a failing source is tried so often as the Repository says, a refusal once', async t => {
  const site = await openAppSite(t)
  site.upstream.fault({ kind: 'manifest' }, { do: 'status', status: 503 }, Number.POSITIVE_INFINITY)
  site.repositories.start()
  addRepository(site, { retryCount: 2 })
  const failed = await reached(site, 'Failed')
  t.equal(site.upstream.count({ kind: 'manifest' }), 3, 'one attempt and two more')
  t.match(failed.status.error, { code: 'UNAVAILABLE', hint: /link/ })
  t.notOk(failed.status.lastSynced)
  t.equal(site.repositories.failures, 1)

  site.upstream.clearFaults()
  site.upstream.clearLog()
  t.match(site.repositories.sync('default', 'app', { who: 'bea' }), { success: true })
  await reached(site, 'Success')
  t.notOk(site.repositories.get('default', 'app').status.error, 'the error goes with the next success')

  addRepository(site, { tag: 'absent' }, { name: 'absent' })
  const absent = await reached(site, 'Failed', { name: 'absent' })
  t.equal(absent.status.error?.code, 'MANIFEST_UNKNOWN')
  t.equal(site.repositories.runs('default', 'absent')[0]?.attempts, 1)
})

t.test('a sync that meets a closed window goes on when it opens, and nothing counts as failed', async t => {
  const clock = new VirtualClock(epoch)
  const link = new Link({
    logger: silent,
    clock,
    windows: [readWindow({ from: '01:00', to: '05:00', timezone: 'UTC' })],
  })
  const site = await openAppSite(t, { link })
  const at = async (time: string) => {
    clock.jump(time)
    site.clock.now = clock.now()
    await site.repositories.tick()
    return site.repositories.get('default', 'app').status
  }
  site.repositories.start()
  addRepository(site, { syncInterval: '12h' })
  const opens = '2026-11-22T01:00:00.000Z'
  const waiting = { reason: 'Window', message: /goes on at 2026-11-22T01:00:00Z/, until: opens }
  t.match(await at('2026-11-21T08:00:00Z'), { syncStatus: '', syncProgress: '0%', waiting })
  const [kept] = site.repositories.runs('default', 'app')
  t.match(kept, { trigger: 'created', outcome: 'Waiting', attempts: 1, bytesMoved: 0, notes: [waiting.message] })
  t.equal(site.audit.list({ action: 'repositories:sync' }).totalItems, 0, 'it has not ended yet')

  site.upstream.clearLog()
  await at('2026-11-22T00:59:59Z')
  t.equal(site.upstream.count(), 0, 'nothing is asked before the window opens')
  t.match(await at(opens), { syncStatus: 'Success', waiting: undefined, lastSynced: opens })
  t.match(site.repositories.runs('default', 'app')[0], { trigger: 'created', by: 'anna', outcome: 'Success' })
  t.match(site.audit.list({ action: 'repositories:sync' }).items, [{ who: 'anna', outcome: 'success' }])

  offer(site.upstream, 'mecm/app', '1', image({ seed: 'two', layers: [3000, { seed: 'new', bytes: 1000 }] }))
  const tomorrow = { reason: 'Window', until: '2026-11-23T01:00:00.000Z' }
  const later = await at('2026-11-22T13:00:00Z')
  t.match(later, { syncStatus: 'Success', lastSynced: opens, error: undefined, waiting: tomorrow })
  site.repositories.sync('default', 'app', { who: 'bea' })
  t.match(await at('2026-11-22T13:00:01Z'), { syncStatus: 'Success', waiting: tomorrow })
  t.equal(site.repositories.failures, 0)

  site.upstream.clearLog()
  await site.repositories.stop()
  const next = site.open()
  t.teardown(() => next.stop())
  next.start()
  await next.tick()
  t.ok(site.upstream.count() > 0, 'a new process looks whether the windows are others')
  site.clock.now = clock.now() + 12 * hourMs
  clock.jump(site.clock.now)
  await next.tick()
  t.match(next.runs('default', 'app')[0], { trigger: 'request', by: 'bea', outcome: 'Success' })
})

t.test('who waits for a window of another day looks again once a day', async t => {
  const clock = new VirtualClock(epoch)
  const window = readWindow({ from: '01:00', to: '05:00', days: ['mon'], timezone: 'UTC' })
  const site = await openAppSite(t, { link: new Link({ logger: silent, clock, windows: [window] }) })
  site.repositories.start()
  addRepository(site, { syncInterval: '1h' })
  await site.repositories.tick()
  t.match(site.repositories.get('default', 'app').status.waiting, { until: '2026-11-23T01:00:00.000Z' })
  for (const [hours, runs] of [
    [23, 1],
    [24, 2],
  ] as const) {
    clock.jump(epoch + hours * hourMs)
    site.clock.now = clock.now()
    await site.repositories.tick()
    t.equal(site.repositories.runs('default', 'app').length, runs)
  }
})

t.test('syncTimeout ends a sync that hangs', async t => {
  const site = await openAppSite(t)
  site.upstream.fault({ kind: 'manifest' }, { do: 'hang' }, Number.POSITIVE_INFINITY)
  site.repositories.start()
  addRepository(site, { syncTimeout: '1s' })
  const failed = await reached(site, 'Failed')
  t.match(failed.status.error, { code: 'TIMEOUT', message: /within 1s/ })
})

t.test('what was interrupted is due still, and never stays Syncing', async t => {
  const site = await openAppSite(t)
  site.upstream.fault({ kind: 'blob' }, { do: 'hang' }, Number.POSITIVE_INFINITY)
  site.repositories.start()
  addRepository(site)
  await site.upstream.until(() => site.upstream.count({ kind: 'blob' }) > 0)
  t.equal(site.repositories.get('default', 'app').status.syncStatus, 'Syncing')

  const next = site.open()
  t.equal(next.get('default', 'app').status.syncStatus, '', 'another process finds nothing of it')
  await site.repositories.stop()
  t.equal(site.repositories.runs('default', 'app').length, 0)
  site.upstream.clearFaults()
  next.start()
  t.teardown(() => next.stop())
  const synced = await reached({ repositories: next }, 'Success')
  t.ok(synced.status.lastSynced)
})

t.test('a sync that is asked for while one runs follows it, and brings what came meanwhile', async t => {
  const site = await openAppSite(t)
  site.upstream.fault({ kind: 'blob' }, { do: 'slow', bytesPerSecond: 4000 })
  site.repositories.start()
  addRepository(site)
  await site.upstream.until(() => site.upstream.count({ kind: 'blob' }) > 0)
  const newer = image({ seed: 'two', layers: [3000] })
  offer(site.upstream, 'mecm/app', '1', newer)
  site.clock.now += 1000
  const ask = (who: string) => site.repositories.sync('default', 'app', { who })
  t.match(ask('bea'), { success: true, message: /another one follows/ })
  t.match(ask('carl'), { success: true, message: /queued already/ }, 'one that has not begun serves for all')
  await site.repositories.tick()
  await site.repositories.tick()
  t.equal(site.store.findTag('mecm/app', '1')?.descriptor.digest, newer.root.descriptor.digest)
  t.match(site.repositories.runs('default', 'app'), [
    { trigger: 'request', by: 'bea' },
    { trigger: 'created', by: 'anna' },
  ])
  const { items } = site.audit.list({ action: 'repositories:sync' })
  t.same(new Set(items.map(({ who }) => who)), new Set(['anna', 'bea', 'carl']), 'each is on record')
})

t.test('two sources of one host stay apart, and neither secret is seen anywhere', async t => {
  const secret = 'plant-7f3a9c'
  const upstream = await FakeRegistry.start({ auth: { scheme: 'basic', username: 'robot', password: secret } })
  t.teardown(() => upstream.stop())
  const site = await openManagementSite(t, { upstreams: [upstream] })
  offer(upstream, 'mecm/app', '1', image({ seed: 'one', layers: [3000] }))
  addSource(site, upstream.host, { username: 'robot', password: secret })
  addSource(site, upstream.host, { name: 'wrong', username: 'robot', password: 'plant-other' })
  addSource(site, upstream.host, { name: 'anonymous' })
  site.repositories.start()
  addRepository(site)
  addRepository(site, { registryRef: { name: 'wrong', namespace: 'default' } }, { name: 'wrong' })
  addRepository(site, { registryRef: { name: 'anonymous', namespace: 'default' } }, { name: 'anonymous' })
  await reached(site, 'Success')
  t.equal((await reached(site, 'Failed', { name: 'wrong' })).status.error?.code, 'UNAUTHORIZED')
  t.equal((await reached(site, 'Failed', { name: 'anonymous' })).status.error?.code, 'UNAUTHORIZED')
  const told = JSON.stringify([
    site.repositories.list({ namespaces: 'all' }),
    site.repositories.runs('default', 'wrong'),
    site.sources.list({ namespaces: 'all' }),
    site.audit.list().items,
    databaseText(site),
  ])
  t.notMatch(told, /plant-/)
})

t.test('a fallback serves when the first source fails, and the failing one is asked last', async t => {
  const site = await openAppSite(t)
  const standby = await FakeRegistry.start()
  t.teardown(() => standby.stop())
  offer(standby, 'mecm/app', '1', image({ seed: 'one', layers: [3000, 2000] }))
  const both = await openManagementSite(t, { upstreams: [site.upstream, standby] })
  addSource(both, site.upstream.host)
  addSource(both, standby.host, { name: 'standby' })
  site.upstream.fault({}, { do: 'status', status: 503 }, Number.POSITIVE_INFINITY)
  both.repositories.start()
  addRepository(both, { fallbackRefs: [{ name: 'standby' }] })
  await reached(both, 'Success')
  t.equal(both.repositories.runs('default', 'app')[0]?.source, 'default/standby')
  t.equal(both.repositories.runs('default', 'app')[0]?.attempts, 1)
  t.same(
    [...both.sources.connectionFailures()],
    [
      ['main', 1],
      ['standby', 0],
    ],
  )

  await both.sources.tick()
  t.equal(both.sources.get('default', 'main').status.verifyStatus, 'failed', 'it was looked at because of that')
  site.upstream.clearLog()
  both.repositories.sync('default', 'app', { who: 'anna' })
  await both.repositories.tick()
  t.equal(site.upstream.count(), 0, 'the healthy one is asked first')
})

t.test('a pattern keeps every tag that fits, newest first', async t => {
  const site = await openAppSite(t)
  for (const tag of ['1.26.3', '1.27.0', '1.27.1', '1.28.0-rc.1', '2.0.0', 'latest']) {
    offer(site.upstream, 'mecm/app', tag, image({ seed: tag, layers: [1000] }))
  }
  site.repositories.start()
  addRepository(site, { tagPattern: '^1.26' })
  const synced = await reached(site, 'Success')
  t.same(synced.status.tags, ['1.26.3', '1.27.0', '1.27.1'])
  t.same(site.store.tags('mecm/app', undefined, 10), ['1.26.3', '1.27.0', '1.27.1'])
  const versions = await site.repositories.versions('default', 'app', signal)
  t.same(
    versions.map(({ tag }) => tag),
    ['1.27.1', '1.27.0', '1.26.3'],
  )
  t.ok(versions.every(({ size }) => size > 1000))
  t.equal(site.repositories.holds().length, 3)
  t.same(site.repositories.holdsIn('mecm/app'), site.repositories.holds())
  t.same(site.repositories.holdsIn('mecm/other'), [])
})

t.test('a name that a plan keeps at other content is left alone', async t => {
  const site = await openAppSite(t, { repositories: { planKeeping: (_, tag) => (tag === '1' ? 'shop-2' : undefined) } })
  site.repositories.start()
  addRepository(site)
  const failed = await reached(site, 'Failed')
  t.match(failed.status.error, { code: 'LOCAL_REFUSED', message: /the plan shop-2/ })
  t.equal(site.upstream.count({ kind: 'blob' }), 0)
})

t.test('so many at once, and 20 runs are remembered', async t => {
  const site = await openAppSite(t, { repositories: { maxRuns: 2 } })
  for (const name of ['a', 'b', 'c', 'd']) {
    offer(site.upstream, `mecm/${name}`, '1', image({ seed: name, layers: [500] }))
    addRepository(site, { repository: `mecm/${name}` }, { name })
  }
  let most = 0
  site.repositories.events.on('changed', () => {
    const { items } = site.repositories.list({ namespaces: 'all' })
    most = Math.max(most, items.filter(({ status }) => status.syncStatus === 'Syncing').length)
  })
  site.repositories.start()
  await Promise.all(['a', 'b', 'c', 'd'].map(name => reached(site, 'Success', { name })))
  t.equal(most, 2)
  for (let at = 0; at < 25; at++) {
    site.repositories.sync('default', 'a', { who: 'anna' })
    await site.repositories.tick()
  }
  t.equal(site.repositories.runs('default', 'a').length, 20)
})

t.test('a failed sync says how far it came', async t => {
  const site = await openAppSite(t)
  const large = image({ seed: 'large', layers: [60_000, 40_000] })
  offer(site.upstream, 'mecm/app', 'large', large)
  const [smaller] = [...large.blobs].find(([, { length }]) => length > 30_000 && length < 50_000) ?? []
  site.upstream.fault({ kind: 'blob', reference: smaller ?? '' }, { do: 'hang' }, Number.POSITIVE_INFINITY)
  site.repositories.start()
  addRepository(site, { tag: 'large', syncTimeout: '1s' })
  const failed = await reached(site, 'Failed')
  t.match(failed.status.syncProgress, /^[56]\d%$/)
})
