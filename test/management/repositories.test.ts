import t from 'tap'
import { readRepository } from '../../src/management/documents.ts'
import type { FakeRegistry } from '../fixtures/fake-registry.ts'
import { image } from '../fixtures/images.ts'
import { addRepository, addSource, epoch, openAppSite, reached } from '../fixtures/management-site.ts'
import { offer } from '../fixtures/site.ts'

const hourMs = 3_600_000
const signal = new AbortController().signal

t.test('a new Repository is synced at once, and says what it has brought', async t => {
  const site = await openAppSite(t)
  site.repositories.start()
  const made = addRepository(site)
  t.match(made, {
    apiVersion: 'image.theriseunion.io/v1alpha1',
    kind: 'Repository',
    metadata: { name: 'app', namespace: 'default', creationTimestamp: '2026-11-21T08:00:00Z' },
    spec: { repository: 'mecm/app', tag: '1', syncInterval: '1h', syncTimeout: '10m', retryCount: 3 },
    status: { domain: site.upstream.host, syncStatus: '', syncProgress: '' },
  })
  t.notOk(made.status.lastSynced)
  const synced = await reached(site, 'Success')
  t.equal(synced.status.syncProgress, '100%')
  t.equal(synced.status.lastSynced, '2026-11-21T08:00:00.000Z')
  t.match(synced.status.manifest, { architecture: 'amd64', os: 'linux', layers: [{}, {}] })
  t.match(synced.status.manifest?.size, /^\d(\.\d+)?kB$/)
  t.ok(site.store.findTag('mecm/app', '1'), 'the tag is in the local registry')
  t.not(synced.metadata.resourceVersion, made.metadata.resourceVersion)
  const [run] = site.repositories.runs('default', 'app')
  t.match(run, { trigger: 'created', by: 'anna', outcome: 'Success', attempts: 1, source: 'default/main' })
  t.ok((run?.bytesMoved ?? 0) >= 5000)
  t.match(site.audit.list({ action: 'repositories:sync' }).items, [{ who: 'anna', outcome: 'success' }])
})

t.test('deleting ends its sync, and leaves the images', async t => {
  const site = await openAppSite(t)
  site.repositories.start()
  addRepository(site)
  await reached(site, 'Success')
  site.upstream.fault({ kind: 'manifest' }, { do: 'hang' })
  site.repositories.sync('default', 'app', { who: 'anna' })
  await site.upstream.until(() => site.upstream.count({ kind: 'manifest', method: 'HEAD' }) > 1)
  site.repositories.delete('default', 'app', { who: 'anna' })
  await site.repositories.tick()
  t.throws(() => site.repositories.get('default', 'app'), { name: 'ManagementError', reason: 'NotFound' })
  t.ok(site.store.findTag('mecm/app', '1'))
  t.same(site.repositories.holds(), [])
  t.equal(site.state.db.prepare('SELECT count(*) AS n FROM repository_runs').pluck().get(), 0)
})

t.test('versions are compared, rolled back to, and kept there until somebody starts a sync', async t => {
  const site = await openAppSite(t)
  const shared = { seed: 'base', bytes: 4000 }
  offer(site.upstream, 'mecm/app', '1', image({ seed: 'old', layers: [shared, { seed: 'x', bytes: 1000 }] }))
  site.repositories.start()
  addRepository(site)
  await reached(site, 'Success')
  const old = site.store.findTag('mecm/app', '1')?.descriptor.digest ?? ''
  const { root } = offered(site, image({ seed: 'new', layers: [shared, { seed: 'y', bytes: 2000 }] }))
  site.clock.now += hourMs
  await site.repositories.tick()
  t.equal(site.store.findTag('mecm/app', '1')?.descriptor.digest, root.descriptor.digest)

  const difference = await site.repositories.compare('default', 'app', old, '1', signal)
  t.equal(difference.shared.length, 1, 'the base')
  t.equal(difference.onlyInA.length, 2, 'a layer and a config')
  t.equal(difference.onlyInB.length, 2)
  t.ok(difference.bytes.shared > 4000 && difference.bytes.onlyInB > difference.bytes.onlyInA)

  site.upstream.clearLog()
  const back = await site.repositories.rollBack('default', 'app', { version: old }, { who: 'bea' }, signal)
  t.same(back.status.rolledBack, { 1: old })
  t.equal(site.upstream.count(), 0, 'nothing is asked of the source')
  t.equal(site.store.findTag('mecm/app', '1')?.descriptor.digest, old)
  t.match(site.audit.list({ user: 'bea' }).items, [{ action: 'repositories:change', detail: { digest: old } }])
  t.ok(
    site.repositories.holds().some(hold => hold.digest === old),
    'it is held',
  )

  site.clock.now += hourMs
  await site.repositories.tick()
  t.equal(site.store.findTag('mecm/app', '1')?.descriptor.digest, old, 'the schedule leaves it')
  site.repositories.sync('default', 'app', { who: 'bea' })
  await site.repositories.tick()
  t.equal(site.store.findTag('mecm/app', '1')?.descriptor.digest, root.descriptor.digest, 'a wish does not')
  t.notOk(site.repositories.get('default', 'app').status.rolledBack)

  await t.rejects(site.repositories.rollBack('default', 'app', { version: 'none' }, { who: 'bea' }, signal), {
    name: 'ManagementError',
    reason: 'NotFound',
  })
  await t.rejects(site.repositories.compare('default', 'app', '1', 'none', signal), {
    name: 'ManagementError',
    reason: 'NotFound',
  })
})

function offered(site: { upstream: FakeRegistry }, sample: ReturnType<typeof image>) {
  offer(site.upstream, 'mecm/app', '1', sample)
  return sample
}

t.test('annotations: people edit theirs, manual-sync starts a sync', async t => {
  const site = await openAppSite(t)
  site.repositories.start()
  addRepository(site)
  await reached(site, 'Success')
  const shown = { 'theriseunion.io/display-name': 'The shop', 'theriseunion.io/description': 'For tills' }
  t.match(site.repositories.annotate('default', 'app', shown, { who: 'bea' }).metadata.annotations, shown)
  t.equal(site.repositories.runs('default', 'app').length, 1)
  t.equal(site.repositories.list({ namespaces: 'all', search: 'the SHOP' }).totalItems, 1)
  site.repositories.annotate('default', 'app', { 'theriseunion.io/manual-sync': '2026-11-21' }, { who: 'bea' })
  await site.repositories.tick()
  t.match(site.repositories.runs('default', 'app')[0], { trigger: 'annotation', by: 'bea' })
  site.repositories.annotate('default', 'app', { 'theriseunion.io/manual-sync': '2026-11-21' }, { who: 'cleo' })
  await site.repositories.tick()
  t.match(
    site.repositories.runs('default', 'app')[0],
    { trigger: 'annotation', by: 'cleo' },
    'the same value is an order',
  )
  const readBack = { ...shown, 'theriseunion.io/manual-sync': '2026-11-21', 'theriseunion.io/description': 'edited' }
  site.repositories.annotate('default', 'app', readBack, { who: 'bea' })
  site.repositories.annotate('default', 'app', { 'theriseunion.io/manual-sync': null }, { who: 'bea' })
  await site.repositories.tick()
  t.equal(site.repositories.runs('default', 'app').length, 3, 'what comes back with an edited object is none')
})

t.test('namespaces, conflicts and missing sources', async t => {
  const site = await openAppSite(t)
  addRepository(site)
  addRepository(site, {}, { namespace: 'other' })
  t.throws(() => addRepository(site), { name: 'ManagementError', reason: 'AlreadyExists' })
  t.same(
    site.repositories.list({ namespaces: ['other'] }).items.map(({ metadata }) => metadata.namespace),
    ['other'],
  )
  t.equal(site.repositories.list({ namespaces: 'all', limit: 1, page: 2 }).items.length, 1)
  t.equal(site.repositories.list({ namespaces: [] }).totalItems, 0)
  t.throws(() => addRepository(site, { registryRef: { name: 'none', namespace: 'default' } }, { name: 'x' }), {
    name: 'ManagementError',
    reason: 'Invalid',
    message: /spec\.registryRef: there is no RegistrySecret "none" in namespace "default"/,
  })
  addSource(site, 'elsewhere.example', { name: 'elsewhere' })
  t.throws(() => addRepository(site, { registryRef: { name: 'elsewhere', namespace: 'default' } }, { name: 'x' }), {
    name: 'ManagementError',
    reason: 'Conflict',
  })
  t.throws(
    () =>
      addRepository(site, { registryRef: { name: 'elsewhere', namespace: 'default' }, tagPattern: '*' }, { name: 'x' }),
    {
      name: 'ManagementError',
      reason: 'Conflict',
    },
  )
  t.throws(() => site.sources.delete('default', 'main', { who: 'anna' }), {
    name: 'ManagementError',
    reason: 'Conflict',
    message: /"app", one of another namespace: delete those first/,
  })
  for (const name of ['b', 'c', 'd']) addRepository(site, {}, { name })
  t.throws(() => site.sources.delete('default', 'main', { who: 'anna' }), {
    message: /"app", "b", "c", 1 more, one of another namespace/,
  })
  for (const name of ['app', 'b', 'c', 'd']) site.repositories.delete('default', name, { who: 'anna' })
  t.throws(() => site.sources.delete('default', 'main', { who: 'anna' }), {
    name: 'ManagementError',
    reason: 'Conflict',
    message: /another namespace/,
  })
  site.repositories.delete('other', 'app', { who: 'anna' })
  site.sources.delete('default', 'main', { who: 'anna' })
  t.throws(() => site.sources.get('default', 'main'), { name: 'ManagementError', reason: 'NotFound' })
})

t.test('10,000 Repositories are listed, searched and paged in no time', async t => {
  const site = await openAppSite(t)
  site.state.db.transaction(() => {
    for (let at = 0; at < 10_000; at++) {
      addRepository(site, { repository: `mecm/app-${at}` }, { name: `app-${at}`, namespace: `ns-${at % 50}` })
    }
  })()
  const times: number[] = []
  for (let at = 0; at < 40; at++) {
    const began = performance.now()
    site.repositories.list({ namespaces: 'all', page: 1 + at, limit: 20, search: at % 2 ? `app-${at}` : '' })
    times.push(performance.now() - began)
  }
  times.sort((a, b) => a - b)
  t.ok((times[37] ?? 0) < 50, `95 of 100 in ${times[37]?.toFixed(1)} ms`)
  const began = performance.now()
  for (let at = 0; at < 100; at++)
    site.state.db.prepare('SELECT uid FROM repositories WHERE due_at <= ? LIMIT 8').all(epoch - 1)
  t.ok((performance.now() - began) / 100 < 1, 'looking for what is due costs under a millisecond')
})

t.test('many are created together, and only then synced', async t => {
  const site = await openAppSite(t)
  site.repositories.start()
  const told: string[] = []
  site.repositories.events.on('changed', ({ metadata }) => told.push(metadata.name))
  const wanted = (...tags: string[]) =>
    tags.map(tag =>
      readRepository({
        metadata: { name: `app-${tag}` },
        spec: { repository: 'mecm/app', tag, registryRef: { name: 'main', namespace: 'default' } },
      }),
    )
  t.throws(() => site.repositories.createAll(wanted('1', '2', '1'), { who: 'bea' }), { message: /^items\[2\]/ })
  t.same(told, [])
  t.equal(site.repositories.list({ namespaces: 'all' }).totalItems, 0)
  site.repositories.createAll(wanted('1', '2'), { who: 'bea' })
  t.same(told, ['app-1', 'app-2'])
  await reached(site, 'Success', { name: 'app-1' })
})

t.test("a path that begins with the source's own host is corrected", async t => {
  const site = await openAppSite(t)
  const { host } = site.upstream
  t.throws(() => addRepository(site, { repository: `${host}/mecm/app` }), {
    name: 'ManagementError',
    reason: 'Invalid',
  })
  addSource(site, 'harbor.example', { name: 'harbor' })
  t.throws(
    () =>
      addRepository(site, {
        repository: 'harbor.example/mecm/app',
        registryRef: { name: 'harbor', namespace: 'default' },
      }),
    { reason: 'Invalid', message: /without a host: write repository: "mecm\/app"; the host belongs/ },
  )
})
