import { rm, writeFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { Audit } from '../../../src/access/audit.ts'
import { repairContent } from '../../../src/management/lifecycle/repair.ts'
import { Scrub } from '../../../src/management/lifecycle/scrub.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { ScrubRows } from '../../../src/state/scrubs.ts'
import { blobPath } from '../../../src/store/layout.ts'
import { whenever } from '../../fixtures/cleanup-site.ts'
import { image, multiPlatform } from '../../fixtures/images.ts'
import { startFake } from '../../fixtures/registry-client.ts'
import { bring, offer, openSite, wish } from '../../fixtures/site.ts'
import { silent } from '../../fixtures/state-folder.ts'

/** An image that came from a scripted registry, and a scrub of the store that holds it. */
async function openScrubbed(t: Test, options: { bytesPerSecond?: number } = {}) {
  const upstream = await startFake(t)
  const sample = multiPlatform(['linux/amd64', 'linux/arm64'])
  offer(upstream, 'mecm/web', '1', sample)
  const site = await openSite(t, { upstreams: [upstream] })
  const request = wish(`${upstream.host}/mecm/web:1`)
  await bring(site, request)
  const { store, state, transfer } = site
  const clock = { now: Date.parse('2026-01-01T00:00:00Z') }
  const audit = new Audit({ state, logger: silent })
  const rows = new ScrubRows(state.db)
  const parts = { store, engine: transfer, requestsFor: () => [request] }
  const scrub = new Scrub({
    ...{ upkeep: store.upkeep, rows, audit, logger: silent, now: () => clock.now },
    ...{ bytesPerSecond: options.bytesPerSecond ?? 1e9, everyMs: 1000 },
    repair: (digest, signal) => repairContent(digest, parts, signal),
  })
  const root = store.content.root
  const [blob = '' as Digest] = sample.blobs.keys()
  return { ...site, upstream, sample, scrub, clock, audit, rows, root, blob }
}

t.test('what is whole is read once, and the next round is due when it is due', async t => {
  const { scrub, sample, clock, upstream } = await openScrubbed(t)
  const requests = upstream.requests.length
  const round = await scrub.run(whenever)
  t.match(round, { checked: sample.blobs.size + sample.manifests.length, damaged: 0 })
  t.same(scrub.status().damaged, [])
  t.equal(upstream.requests.length, requests)
  t.equal(scrub.dueIn(), 1000)
  clock.now += 1000
  t.equal(scrub.dueIn(), 0)
})

t.test('a damaged and a missing blob, and a damaged manifest, are fetched again and reported', async t => {
  const { scrub, sample, root, blob, store, audit } = await openScrubbed(t)
  const [, missing = '' as Digest] = sample.blobs.keys()
  const manifest = sample.root.descriptor.digest
  await writeFile(blobPath(root, blob), Buffer.alloc(sample.blobs.get(blob)?.byteLength ?? 0))
  await rm(blobPath(root, missing))
  await writeFile(blobPath(root, manifest), 'nonsense')
  t.match(await scrub.run(whenever), { damaged: 3 })
  for (const digest of [blob, missing]) {
    const bytes = await store.content.readBytes(digest)
    t.ok(bytes && sample.blobs.get(digest)?.equals(bytes), digest)
  }
  t.ok(await store.readManifest(manifest))
  t.match(scrub.status(), { damaged: [], found: 3, repaired: 3 })
  const reasons = audit.list().items.map(({ detail }) => detail.reason)
  t.same(reasons.toSorted(), [
    'scrub: damaged',
    'scrub: damaged',
    'scrub: fetched again',
    'scrub: fetched again',
    'scrub: fetched again',
    'scrub: missing',
  ])
})

t.test('what nobody offers stays reported, out of sight, and is tried again', async t => {
  const { scrub, root, blob, store, upstream, sample } = await openScrubbed(t)
  const place = upstream.content.repository('mecm/web')
  const kept = place.blobs.get(blob)
  place.blobs.delete(blob)
  await writeFile(blobPath(root, blob), 'damaged')
  await scrub.run(whenever)
  t.match(scrub.status().damaged, [{ digest: blob, problem: 'damaged', error: /./ }])
  t.equal(await store.content.size(blob), undefined, 'wrong bytes are not served')
  if (kept) place.blobs.set(blob, kept)
  await scrub.repairAll(whenever)
  t.same(scrub.status().damaged, [])
  t.equal(await store.content.size(blob), sample.blobs.get(blob)?.byteLength)
})

t.test('a round that was cut goes on where it stopped', async t => {
  const { scrub, rows, sample, store } = await openScrubbed(t)
  const all = store.upkeep.contentAfter('', 1000)
  const half = all[Math.floor(all.length / 2)]
  rows.setRound({
    ...{ position: half?.digest ?? '', startedAt: 5, finishedAt: null, checked: 0, checkedBytes: 0, damaged: 0 },
  })
  const round = await scrub.run(whenever)
  t.equal(all.length, sample.blobs.size + sample.manifests.length)
  t.match(round, { startedAt: 5, checked: all.length - Math.floor(all.length / 2) - 1 })
})

t.test('it reads no faster than it may, and an abort ends it with its position kept', async t => {
  const { scrub, rows, store } = await openScrubbed(t, { bytesPerSecond: 1000 })
  const total = store.upkeep.contentAfter('', 1000).reduce((sum, { size }) => sum + size, 0)
  t.ok(total > 5000)
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 300)
  await t.rejects(scrub.run(controller.signal), { name: 'AbortError' })
  const { checkedBytes = 0, finishedAt } = rows.round() ?? {}
  t.equal(finishedAt, null)
  t.ok(checkedBytes < total)
})

t.test('content that was pushed has no origin, and that is said', async t => {
  const { store } = await openSite(t)
  const sample = image()
  for (const [digest, bytes] of sample.blobs) {
    await store.content.writeBytes(digest, bytes)
    store.shareBlob('own/app', { digest, size: bytes.byteLength })
  }
  await store.putManifest('own/app', sample.root)
  await store.changeTags([
    { do: 'set', repository: 'own/app', tag: '1', descriptor: sample.root.descriptor, source: 'push' },
  ])
  const [blob = '' as Digest] = sample.blobs.keys()
  const engine = {
    resolve: () => Promise.reject(new Error('not asked')),
    fetch: () => Promise.reject(new Error('not asked')),
  }
  await t.rejects(repairContent(blob, { store, engine, requestsFor: () => [] }, whenever), /it was pushed/)
})
