import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { algorithmOf, digestOf } from '../../src/oci/digest.ts'
import { ImageError } from '../../src/oci/errors.ts'
import { ingestFolder } from '../../src/store/layout.ts'
import { FakeRegistry, type FakeRegistryOptions } from '../fixtures/fake-registry.ts'
import { everyKind, image, multiPlatform, withCosignTag } from '../fixtures/images.ts'
import { bring, offer, openSite, type SiteOptions, wish } from '../fixtures/site.ts'

async function start(t: Parameters<typeof openSite>[0], local: FakeRegistryOptions = {}, options: SiteOptions = {}) {
  const [upstream, registry] = await Promise.all([FakeRegistry.start(), FakeRegistry.start(local)])
  t.teardown(() => Promise.all([upstream.stop(), registry.stop()]))
  const external = { host: registry.host, plainHttp: true }
  const site = await openSite(t, { upstreams: [upstream], external, ...options })
  return { upstream, registry, site }
}

const fetches = { kind: 'blob', method: 'GET' } as const

t.test('every kind of image lands in an external registry, byte for byte', async t => {
  // Registries refuse a manifest whose layers they don't hold, foreign ones too: see the next test.
  const { 'non-distributable layer': _, ...kinds } = everyKind()
  for (const [kind, sample] of Object.entries(kinds)) {
    const { upstream, registry, site } = await start(t)
    offer(upstream, 'mecm/app', '1', sample)
    const brought = await bring(site, wish(`${upstream.host}/mecm/app:1`))
    const there = registry.content.repository('mecm/app')
    const tagged = there.tags.get('1')
    t.equal(tagged, digestOf(sample.root.bytes, tagged && algorithmOf(tagged)), kind)
    for (const { descriptor, bytes } of sample.manifests) {
      t.same(
        there.manifests.get(descriptor.digest),
        { mediaType: descriptor.mediaType, bytes: Buffer.from(bytes) },
        kind,
      )
    }
    t.ok(
      brought.blobs.every(blob => there.blobs.has(blob.digest)),
      `${kind}: its blobs`,
    )
    upstream.clearLog()
    await bring(
      site,
      wish(`${upstream.host}/mecm/app@${brought.root.digest}`, { target: { repository: 'mecm/app', tag: '1' } }),
    )
    t.same(upstream.requests, [], `${kind}: nothing is asked upstream for what is there`)
  }
})

t.test(
  'a blob that another repository holds is mounted, or copied inside the registry: never fetched again',
  async t => {
    for (const mounts of [true, false]) {
      const { upstream, registry, site } = await start(t, { mounts })
      const shared = { seed: 'shared', bytes: 30_000 }
      offer(upstream, 'mecm/one', '1', image({ seed: 'one', layers: [shared] }))
      offer(upstream, 'mecm/two', '1', image({ seed: 'two', layers: [shared] }))
      await bring(site, wish(`${upstream.host}/mecm/one:1`))
      upstream.clearLog()
      registry.clearLog()
      await bring(site, wish(`${upstream.host}/mecm/two:1`))
      t.equal(upstream.count(fetches), 1, 'its config alone')
      if (mounts) t.equal(registry.count({ kind: 'blob', method: 'HEAD' }), 1, 'and that alone is looked for')
      t.equal(registry.content.repository('mecm/two').blobs.size, 2, `mounts: ${mounts}`)
    }
  },
)

t.test('what somebody else has put into the wanted repository is not sent again where nothing is mounted', async t => {
  const { upstream, registry, site } = await start(t, { mounts: false })
  const shared = { seed: 'shared', bytes: 30_000 }
  const two = image({ seed: 'two', layers: [shared] })
  offer(upstream, 'mecm/one', '1', image({ seed: 'one', layers: [shared] }))
  offer(upstream, 'mecm/two', '1', two)
  offer(registry, 'mecm/two', 'other', two)
  await bring(site, wish(`${upstream.host}/mecm/one:1`))
  registry.clearLog()
  await bring(site, wish(`${upstream.host}/mecm/two:1`))
  t.equal(registry.count({ kind: 'upload', method: 'PUT' }), 0)
})

t.test('of a blob that the registry has just acknowledged it is not asked again; later it is', async t => {
  const { upstream, registry, site } = await start(t)
  offer(upstream, 'mecm/app', '1', image({ layers: [2000] }))
  const looks = { kind: 'blob', method: 'HEAD' } as const
  const brought = await bring(site, wish(`${upstream.host}/mecm/app:1`))
  t.equal(registry.count(looks), brought.blobs.length, 'each was looked for once, before it came')
  await site.transfer.confirm(brought, new AbortController().signal)
  t.equal(registry.count(looks), 2 * brought.blobs.length)
  registry.content.repository('mecm/app').blobs.clear()
  await t.rejects(site.transfer.confirm(brought, new AbortController().signal), { code: 'LOCAL_REGISTRY' })
})

t.test('what a registry acknowledged before it failed is asked for again', async t => {
  const { upstream, registry, site } = await start(t)
  offer(upstream, 'mecm/one', '1', image({ seed: 'one' }))
  offer(upstream, 'mecm/two', '1', image({ seed: 'two', layers: [{ seed: 'another', bytes: 2000 }] }))
  const { signal } = new AbortController()
  const resolved = await site.transfer.resolve(wish(`${upstream.host}/mecm/one:1`), signal)
  const brought = await site.transfer.fetch(resolved, { priority: 50, signal })
  registry.content.repository('mecm/one').blobs.clear()
  registry.fault({ kind: 'upload' }, { do: 'status', status: 503 }, Number.POSITIVE_INFINITY)
  await t.rejects(bring(site, wish(`${upstream.host}/mecm/two:1`)), { code: 'LOCAL_REGISTRY' })
  registry.clearFaults()
  await t.rejects(site.transfer.confirm(brought, signal), { code: 'LOCAL_REGISTRY', message: /the blob/ })
})

t.test('whatever it was that failed, what a registry acknowledged before is asked for again', async t => {
  const { upstream, registry, site } = await start(t)
  const { signal } = new AbortController()
  const fetchAndLose = async (name: string) => {
    offer(upstream, `mecm/${name}`, '1', image({ seed: name }))
    const resolved = await site.transfer.resolve(wish(`${upstream.host}/mecm/${name}:1`), signal)
    const { request, ...brought } = await site.transfer.fetch(resolved, { priority: 50, signal })
    registry.content.repository(`mecm/${name}`).blobs.clear()
    return { ...brought, request: { ...request, target: { repository: `mecm/${name}` } } }
  }
  const one = await fetchAndLose('one')
  t.equal(await site.local.findTag('mecm/one', '1', signal), undefined)
  await site.transfer.confirm(one, signal) // that it doesn't know a tag was an answer, no failure

  const two = await fetchAndLose('two')
  registry.fault({ kind: 'manifest', method: 'HEAD' }, { do: 'status', status: 503 }, Number.POSITIVE_INFINITY)
  await t.rejects(site.local.findTag('mecm/two', '1', signal), { code: 'LOCAL_REGISTRY' })
  registry.clearFaults()
  await t.rejects(site.transfer.confirm(two, signal), { code: 'LOCAL_REGISTRY', message: /the blob/ })
})

t.test('a manifest that another repository holds is not fetched again', async t => {
  const { upstream, site } = await start(t)
  const sample = image()
  offer(upstream, 'mecm/one', '1', sample)
  await bring(site, wish(`${upstream.host}/mecm/one:1`))
  upstream.clearLog()
  const pinned = `${upstream.host}/mecm/one@${sample.root.descriptor.digest}`
  await bring(site, wish(pinned, { target: { repository: 'mecm/two', tag: '1' } }))
  t.same(upstream.requests, [])
})

t.test('an upload that two plans wait for goes on though the one that began it leaves', async t => {
  const { upstream, registry, site } = await start(t)
  offer(upstream, 'mecm/app', '1', image({ layers: [2000] }))
  const found = await site.transfer.resolve(wish(`${upstream.host}/mecm/app:1`), new AbortController().signal)
  const [first, second] = [new AbortController(), new AbortController()]
  registry.fault({ kind: 'upload', method: 'POST' }, { do: 'hang' }, found.blobs.length)
  const leaving = t.rejects(site.transfer.fetch(found, { signal: first.signal, priority: 50 }))
  await registry.until(() => registry.count({ kind: 'upload' }) === found.blobs.length)
  const staying = site.transfer.fetch(found, { signal: second.signal, priority: 50 })
  await new Promise(resolve => setTimeout(resolve, 50)) // it finds everything staged, and joins
  first.abort()
  await Promise.all([leaving, staying])
  t.equal(registry.content.repository('mecm/app').manifests.size, 1)
})

t.test('a blob that has come goes on into the registry though the link closes meanwhile', async t => {
  const { registry, site } = await start(t)
  const turn = new AbortController()
  const { signal } = new AbortController()
  const bytes = Buffer.from('the last byte of it has come')
  const blob = { mediaType: 'application/x', digest: digestOf(bytes), size: bytes.byteLength }
  const ingest = await site.local.openIngest(blob, { repository: 'mecm/app', signal: turn.signal, transfer: signal })
  await ingest.write(bytes)
  turn.abort()
  await ingest.commit()
  await ingest.close()
  t.ok(registry.content.repository('mecm/app').blobs.has(blob.digest))
  t.equal(registry.count({ kind: 'upload', method: 'PUT' }), 1)
})

t.test('an index without its other platforms is handled as configured, and it is told', async t => {
  const sample = multiPlatform(['linux/amd64', 'linux/arm64'])
  const only = { platforms: ['linux/arm64'] }
  const { digest } = sample.root.descriptor

  const complete = await start(t)
  offer(complete.upstream, 'mecm/app', '1', sample)
  const whole = await bring(complete.site, wish(`${complete.upstream.host}/mecm/app:1`, only))
  t.match(whole.notes, [/they were brought, too/])
  t.equal(complete.registry.content.repository('mecm/app').tags.get('1'), digest)

  const platform = await start(t, {}, { sparseIndexes: 'platform' })
  offer(platform.upstream, 'mecm/app', '1', sample)
  const single = await bring(platform.site, wish(`${platform.upstream.host}/mecm/app:1`, only))
  t.match(single.notes, [/the tag points at/])
  t.equal(single.root.digest, sample.manifests[1]?.descriptor.digest)

  const fail = await start(t, {}, { sparseIndexes: 'fail' })
  offer(fail.upstream, 'mecm/app', '1', sample)
  await t.rejects(bring(fail.site, wish(`${fail.upstream.host}/mecm/app:1`, only)), {
    code: 'LOCAL_REFUSED',
    side: 'local',
  })
  t.equal(fail.registry.content.repository('mecm/app').tags.size, 0)

  const sparse = await start(t, { sparse: true })
  offer(sparse.upstream, 'mecm/app', '1', sample)
  const kept = await bring(sparse.site, wish(`${sparse.upstream.host}/mecm/app:1`, only))
  t.same(kept.notes, [], 'a registry that takes it gets it as it is')
})

t.test('a fault of the local registry is told as such, and what was fetched is not fetched again', async t => {
  const { upstream, registry, site } = await start(t)
  offer(upstream, 'mecm/app', '1', image())
  registry.fault({ kind: 'upload' }, { do: 'status', status: 503 }, Number.POSITIVE_INFINITY)
  await t.rejects(bring(site, wish(`${upstream.host}/mecm/app:1`)), {
    code: 'LOCAL_REGISTRY',
    side: 'local',
    transient: true,
  })
  registry.clearFaults()
  upstream.clearLog()
  await bring(site, wish(`${upstream.host}/mecm/app:1`))
  t.equal(upstream.count(fetches), 0, 'the staged blobs were kept')
})

t.test('tag changes that were cut short are completed before others', async t => {
  const { upstream, registry, site } = await start(t)
  for (const name of ['one', 'two']) offer(upstream, `mecm/${name}`, '1', image({ seed: name }))
  const { signal } = new AbortController()
  const images = await Promise.all(
    ['one', 'two'].map(async name => {
      const found = await site.transfer.resolve(wish(`${upstream.host}/mecm/${name}:1`), signal)
      return await site.transfer.fetch(found, { signal, priority: 50 })
    }),
  )
  registry.fault({ kind: 'manifest', method: 'PUT', repository: 'mecm/two' }, { do: 'status', status: 503 }, 2)
  await t.rejects(site.transfer.publish(images, [], signal), ImageError)
  t.equal(registry.content.repository('mecm/one').tags.size, 1)
  t.equal(registry.content.repository('mecm/two').tags.size, 0)
  registry.clearFaults()
  offer(upstream, 'mecm/three', '1', image({ seed: 'three' }))
  await bring(site, wish(`${upstream.host}/mecm/three:1`))
  t.equal(registry.content.repository('mecm/two').tags.size, 1)
})

t.test('no tag moves before it is known where all point, and of two changes of one tag the last counts', async t => {
  const { upstream, registry, site } = await start(t)
  const names = Array.from({ length: 12 }, (_, at) => `mecm/app-${at}`)
  const { signal } = new AbortController()
  const images = []
  for (const name of names) {
    offer(upstream, name, '1', image({ seed: name }))
    const found = await site.transfer.resolve(wish(`${upstream.host}/${name}:1`), signal)
    images.push(await site.transfer.fetch(found, { signal, priority: 50 }))
  }
  const [first, second] = images
  if (!first || !second) throw new Error('there are twelve')
  const twice = { ...second, request: { ...second.request, target: { repository: 'mecm/app-1', tag: '1' } } }
  registry.clearLog()
  await site.transfer.publish([...images, twice], [], signal)
  const asked = registry.requests.map(({ method, path }) => `${method} ${path}`).filter(each => each.endsWith('/1'))
  t.equal(asked.length, 24)
  t.ok(asked.slice(0, 12).every(each => each.startsWith('HEAD')))
  t.ok(asked.slice(12).every(each => each.startsWith('PUT')))
  for (const { root, request } of images)
    t.equal(registry.content.repository(request.target.repository).tags.get('1'), root.digest)
})

t.test('an image’s signatures are tagged before the image', async t => {
  const { upstream, registry, site } = await start(t)
  offer(upstream, 'mecm/app', '1', withCosignTag(image({ seed: 'cosigned' })))
  await bring(site, wish(`${upstream.host}/mecm/app:1`))
  const put = registry.requests.filter(({ method, path }) => method === 'PUT' && path.includes('/manifests/'))
  const tags = put.map(({ path }) => path.split('/').at(-1) ?? '').filter(name => !name.startsWith('sha256:'))
  t.match(tags, [/^sha256-.*\.sig$/, '1'])
})

t.test('so many small blobs are sent at once, and all are kept when nobody wants them any more', async t => {
  const { upstream, registry, site } = await start(t)
  const layers = (seed: string) => Array.from({ length: 7 }, (_, at) => ({ seed: `${seed}-${at}`, bytes: 3000 }))
  for (const name of ['one', 'two']) offer(upstream, `mecm/${name}`, '1', image({ seed: name, layers: layers(name) }))
  registry.fault({ kind: 'upload', method: 'PUT' }, { do: 'hang' }, Number.POSITIVE_INFINITY)
  const leave = new AbortController()
  const brought = ['one', 'two'].map(async name => {
    const found = await site.transfer.resolve(wish(`${upstream.host}/mecm/${name}:1`), leave.signal)
    return await site.transfer.fetch(found, { signal: leave.signal, priority: 50 })
  })
  const all = Promise.allSettled(brought)
  const waiting = () => readdirSync(ingestFolder(join(t.testdirName, 'staging'))).length
  while (waiting() < 16 || registry.count({ kind: 'upload', method: 'PUT' }) < 8) await delay(5)
  t.equal(registry.count({ kind: 'upload', method: 'PUT' }), 8)
  leave.abort(new Error('withdrawn'))
  await all
  await site.transfer.stop()
  registry.clearFaults()
  upstream.clearLog()
  for (const name of ['one', 'two']) await bring(site, wish(`${upstream.host}/mecm/${name}:1`))
  t.equal(upstream.count(fetches), 0)
})

t.test('a tag that the registry can not remove stays, and that is told', async t => {
  const { upstream, registry, site } = await start(t)
  offer(upstream, 'mecm/app', '1', image())
  await bring(site, wish(`${upstream.host}/mecm/app:1`))
  const { signal } = new AbortController()
  registry.fault({ kind: 'manifest', method: 'DELETE' }, { do: 'status', status: 405, code: 'UNSUPPORTED' })
  const old = { repository: 'mecm/app', tag: '1' }
  t.match(await site.transfer.publish([], [old], signal), [/can not remove the tag mecm\/app:1/])
  t.same(await site.transfer.publish([], [old], signal), [])
  t.equal(registry.content.repository('mecm/app').tags.size, 0)
  t.same(await site.transfer.publish([], [old], signal), [], 'removing what is gone is no fault')
})
