import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { CollectStep, HeldContent } from '../../src/store/collect.ts'
import { blobPath, ingestFolder } from '../../src/store/layout.ts'
import type { Store } from '../../src/store/store.ts'
import { EmbeddedRegistry } from '../../src/transfer/local-embedded.ts'
import { image, multiPlatform, type Sample, withReferrers } from '../fixtures/images.ts'
import { openTestStore, putSample, setTag } from '../fixtures/open-store.ts'
import { startFake } from '../fixtures/registry-client.ts'
import { bring, offer, openSite, wish } from '../fixtures/site.ts'

const hour = 3_600_000
const nothingHeld: HeldContent = { manifests: new Map(), kept: new Set() }

/** A store whose clock the test moves. */
async function openAgedStore(t: Test, options: Parameters<typeof openTestStore>[1] = {}) {
  const clock = { now: Date.parse('2026-01-01T00:00:00Z') }
  const opened = await openTestStore(t, { now: () => clock.now, ...options })
  const collect = (held = nothingHeld, step?: (step: CollectStep) => void | Promise<void>) =>
    opened.store.upkeep.collect({ held, signal: new AbortController().signal, ...(step ? { step } : {}) })
  const dryRun = (held = nothingHeld) =>
    opened.store.upkeep.collect({ held, signal: new AbortController().signal, dryRun: true })
  return { ...opened, clock, collect, dryRun }
}

t.test('what tags lead to stays, everything else goes, and bytes are counted once', async t => {
  const { store, clock, collect, dryRun } = await openAgedStore(t)
  const shared = { seed: 'shared', bytes: 5000 }
  const kept = withReferrers(multiPlatform(['linux/amd64', 'linux/arm64'], { seed: 'kept', layers: [shared, 100] }))
  const gone = withReferrers(image({ seed: 'gone', layers: [shared, 200] }))
  await putSample(store, 'mecm/web', kept, '1')
  await putSample(store, 'mecm/web', gone, '2')
  const used = await store.content.usedBytes()
  clock.now += 2 * hour
  t.match(await collect(), { manifests: 0, links: 0, files: 0, bytes: 0 })
  store.upkeep.removeTags([{ repository: 'mecm/web', tag: '2', digest: gone.root.descriptor.digest }])
  const preview = await dryRun()
  t.equal(await store.content.usedBytes(), used, 'a dry run takes nothing')
  const report = await collect()
  t.same(preview, report)
  t.equal(report.manifests, gone.manifests.length)
  t.equal(report.bytes, bytesOnlyIn(gone, kept), 'what is shared stays and is not counted')
  t.equal(await store.content.usedBytes(), used - report.bytes)
  t.ok(await isWhole(store, 'mecm/web', kept))
  t.same(await onDisk(store, gone, kept), [])
  t.match(await collect(), { manifests: 0, links: 0, files: 0 })
})

t.test('content in two repositories goes with the last of them', async t => {
  const { store, collect, dryRun } = await openAgedStore(t)
  const sample = image()
  const { digest } = sample.root.descriptor
  for (const repository of ['mecm/a', 'mecm/b']) await putSample(store, repository, sample, '1')
  store.upkeep.removeTags([{ repository: 'mecm/a', tag: '1', digest }])
  t.match(await dryRun(), { manifests: 1, links: 3, files: 0, bytes: 0 })
  t.match(await collect(), { manifests: 1, links: 3, files: 0, bytes: 0 })
  t.equal(store.hasRepository('mecm/a'), false)
  t.ok(await isWhole(store, 'mecm/b', sample))
  store.upkeep.removeTags([{ repository: 'mecm/b', tag: '1', digest }])
  t.match(await dryRun(), { manifests: 1, links: 3, files: 4 })
  t.match(await collect(), { manifests: 1, links: 3, files: 4 })
})

t.test('what was just put or linked waits for its tag or manifest', async t => {
  const { store, clock, collect } = await openAgedStore(t)
  const untagged = image({ seed: 'untagged' })
  await putSample(store, 'mecm/web', untagged)
  const blob = await storeBlob(store, 'alone')
  store.linkBlob('mecm/web', blob)
  t.match(await collect(), { manifests: 0, links: 0, files: 0 })
  clock.now += 2 * hour
  t.match(await collect(), { manifests: 1, links: 4 })
})

t.test('a tag that moved meanwhile is not removed', async t => {
  const { store } = await openAgedStore(t)
  const [old, young] = [image({ seed: 'old' }), image({ seed: 'young' })]
  await putSample(store, 'mecm/web', old, '1')
  await putSample(store, 'mecm/web', young, '1')
  t.same(store.upkeep.removeTags([{ repository: 'mecm/web', tag: '1', digest: old.root.descriptor.digest }]), [])
  t.equal(store.findTag('mecm/web', '1')?.descriptor.digest, young.root.descriptor.digest)
})

t.test('what plans hold stays, put or only kept', async t => {
  const { store, dir, clock, collect } = await openAgedStore(t)
  const [put, kept] = [image({ seed: 'put' }), image({ seed: 'kept' })]
  await putSample(store, 'mecm/web', put)
  for (const [digest, bytes] of kept.blobs) await store.content.writeBytes(digest, bytes)
  await age(join(dir, 'registry'), kept.blobs.keys())
  clock.now += 2 * hour
  const held = {
    manifests: new Map([['mecm/web', new Set([put.root.descriptor.digest])]]),
    kept: new Set(kept.blobs.keys()),
  }
  t.match(await collect(held), { manifests: 0, links: 0, files: 0 })
  t.match(await collect(), { manifests: 1, links: 3 })
})

t.test('files that no row names go when they are old, ingests stay', async t => {
  const { store, root, stop, dir } = await openAgedStore(t)
  const [old, young] = [await storeBlob(store, 'old'), await storeBlob(store, 'young')]
  const arriving = await store.content.openIngest({ mediaType: 'x', digest: digestOf(Buffer.from('12')), size: 2 })
  await arriving.write(Buffer.from('1'))
  await arriving.close()
  await age(root, [old.digest])
  const report = await store.upkeep.collect({ held: nothingHeld, signal: new AbortController().signal })
  t.equal(report.files, 0, 'this process wrote them a moment ago')
  await stop()
  const { store: later } = await openTestStore(t, { dir })
  const second = await later.upkeep.collect({ held: nothingHeld, signal: new AbortController().signal })
  t.match(second, { files: 1, bytes: old.size })
  t.not(await later.content.size(young.digest), undefined)
  t.equal(later.content.ingests()[0]?.offset, 1)
})

t.test('content that a transfer has found present can not go before it is placed', async t => {
  const { store, root, clock, collect } = await openAgedStore(t)
  const local = new EmbeddedRegistry(store)
  const sample = image()
  await putSample(store, 'mecm/old', sample, '1')
  await age(root, sample.blobs.keys())
  clock.now += 2 * hour
  const blobs = [...sample.blobs].map(([digest, bytes]) => descriptor(digest, bytes))
  const release = local.hold([sample.root.descriptor, ...blobs])
  for (const blob of blobs) t.equal(await local.hasBlob('mecm/new', blob), true)
  store.upkeep.removeTags([{ repository: 'mecm/old', tag: '1', digest: sample.root.descriptor.digest }])
  t.match(await collect(), { files: 0 })
  for (const blob of blobs) await local.placeBlob('mecm/new', blob)
  await local.putManifest('mecm/new', sample.root)
  release()
  t.match(await collect(), { files: 0 })
  await store.changeTags([setTag('mecm/new', '1', sample.root)])
  t.ok(await isWhole(store, 'mecm/new', sample))
})

t.test(
  'a transfer whose content is here already loses none of it to a collection after each of its questions',
  async t => {
    const upstream = await startFake(t)
    const sample = multiPlatform(['linux/amd64', 'linux/arm64'])
    offer(upstream, 'mecm/old', '1', sample)
    offer(upstream, 'mecm/new', '1', sample)
    const site = await openSite(t, { upstreams: [upstream] })
    const { store, local } = site
    await bring(site, wish(`${upstream.host}/mecm/old:1`))
    const blobRequests = () => upstream.requests.filter(({ kind }) => kind === 'blob').length
    const before = blobRequests()
    const hasBlob = local.hasBlob.bind(local)
    let collected = 0
    local.hasBlob = async (...asked) => {
      const found = await hasBlob(...asked)
      store.upkeep.removeTags([{ repository: 'mecm/old', tag: '1', digest: sample.root.descriptor.digest }])
      await store.upkeep.collect({ held: nothingHeld, signal: new AbortController().signal })
      collected += 1
      return found
    }
    await bring(site, wish(`${upstream.host}/mecm/new:1`))
    t.ok(collected >= sample.blobs.size)
    t.equal(store.findTag('mecm/old', '1'), undefined)
    t.ok(await isWhole(store, 'mecm/new', sample))
    t.equal(blobRequests(), before, 'what was found present was not fetched again')
  },
)

t.test('a transfer that begins at any moment of a collection ends with its content in place', async t => {
  const sample = image({ layers: [900, 800, 700] })
  for (const moment of ['rows removed', 'out of sight', 'scan'] as const) {
    const { store, clock, collect } = await openAgedStore(t, { dir: t.testdir({ [moment]: {} }) })
    await putSample(store, 'mecm/web', sample, '1')
    clock.now += 2 * hour
    store.upkeep.removeTags([{ repository: 'mecm/web', tag: '1', digest: sample.root.descriptor.digest }])
    const local = new EmbeddedRegistry(store)
    let transfers = 0
    await collect(nothingHeld, async step => {
      if (step.at !== moment || transfers++ > 0) return
      const release = local.hold([...sample.blobs].map(([digest, bytes]) => descriptor(digest, bytes)))
      for (const [digest, bytes] of sample.blobs) await bringBlob(local, digest, bytes)
      await local.keepManifest(sample.root)
      await local.putManifest('mecm/web', sample.root)
      release()
    })
    t.equal(transfers > 0, true, moment)
    await store.changeTags([setTag('mecm/web', '1', sample.root)])
    t.ok(await isWhole(store, 'mecm/web', sample), moment)
    await collect()
    t.ok(await isWhole(store, 'mecm/web', sample), `${moment}, and after the next one`)
    await store.stop()
  }
})

t.test('who reads goes on reading, and a pull that has begun can end', async t => {
  const { store, clock, collect } = await openAgedStore(t)
  const sample = image()
  const { digest } = sample.root.descriptor
  await putSample(store, 'mecm/web', sample, '1')
  clock.now += 2 * hour
  store.upkeep.uses.pulled('mecm/web', digest)
  store.upkeep.removeTags([{ repository: 'mecm/web', tag: '1', digest }])
  t.match(await collect(), { manifests: 0, files: 0 }, 'its manifest was taken a moment ago')
  const [first] = sample.blobs
  if (!first) return t.fail('the sample has blobs')
  const open = await store.content.openBlob(first[0])
  clock.now += hour
  t.match(await collect(), { manifests: 1, files: 4 })
  t.ok(open && Buffer.from(await open.bytes()).equals(first[1]), 'an open file keeps its content')
  await open?.close()
})

t.test('a kill at any step leaves nothing broken, and nothing for good', async t => {
  const child = join(import.meta.dirname, '../fixtures/collect-until-killed.ts')
  for (const step of ['rows removed', 'out of sight', 'scan']) {
    const dir = t.testdir({ [step.replace(' ', '-')]: {} })
    const running = spawn(process.execPath, [child, dir, step], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(running.stdout, 'data')
    running.kill('SIGKILL')
    await once(running, 'exit')
    const { store, root, stop } = await openTestStore(t, { dir })
    const kept = image({ seed: 'kept' })
    t.ok(await isWhole(store, 'mecm/web', kept), step)
    t.same(await readdir(ingestFolder(root)), [], `${step}: no leftovers among the ingests`)
    for (const repository of store.upkeep.repositories()) {
      for (const digest of store.upkeep.linkSizes(repository).keys())
        t.not(await store.content.size(digest), undefined, `${step}: a row has its file`)
    }
    const names = await readdir(join(root, 'blobs/sha256'))
    await age(
      root,
      names.map(name => `sha256:${name}` as Digest),
    )
    await store.upkeep.collect({ held: nothingHeld, signal: new AbortController().signal })
    const left = await readdir(join(root, 'blobs/sha256'))
    t.equal(left.length, kept.blobs.size + kept.manifests.length, `${step}: the next collection takes the rest`)
    await stop()
  }
})

t.test('a collection that is aborted stops between its steps', async t => {
  const { store, clock } = await openAgedStore(t)
  for (const name of ['a', 'b']) await putSample(store, `mecm/${name}`, image({ seed: name }))
  clock.now += 2 * hour
  const controller = new AbortController()
  const run = store.upkeep.collect({ held: nothingHeld, signal: controller.signal, step: () => controller.abort() })
  await t.rejects(run, { name: 'AbortError' })
  t.equal(store.hasRepository('mecm/b'), true)
  t.equal(store.hasRepository('mecm/a'), false)
})

function descriptor(digest: Digest, bytes: Uint8Array) {
  return { mediaType: 'application/octet-stream', digest, size: bytes.byteLength }
}

async function storeBlob(store: Store, text: string) {
  const bytes = Buffer.from(text)
  const blob = descriptor(digestOf(bytes), bytes)
  await store.content.writeBytes(blob.digest, bytes)
  return blob
}

/** What a transfer does for one blob. */
async function bringBlob(local: EmbeddedRegistry, digest: Digest, bytes: Buffer): Promise<void> {
  const blob = descriptor(digest, bytes)
  if (!(await local.hasBlob('mecm/web', blob))) {
    const { signal } = new AbortController()
    const ingest = await local.openIngest(blob, { repository: 'mecm/web', signal, transfer: signal })
    await ingest.write(bytes)
    await ingest.commit()
    await ingest.close()
  }
  await local.placeBlob('mecm/web', blob)
}

/** Makes files look two hours old. */
async function age(root: string, digests: Iterable<Digest>): Promise<void> {
  const then = Date.now() / 1000 - 7200
  for (const digest of digests) await utimes(blobPath(root, digest), then, then)
}

async function isWhole(store: Store, repository: string, sample: Sample): Promise<boolean> {
  for (const [digest, bytes] of sample.blobs) {
    if (store.blobSize(repository, digest) !== bytes.byteLength) return false
    if ((await store.content.size(digest)) !== bytes.byteLength) return false
  }
  for (const manifest of sample.manifests) {
    if (!store.findManifest(repository, manifest.descriptor.digest)) return false
    if (!(await store.readManifest(manifest.descriptor.digest))) return false
  }
  return true
}

function contentsOf(sample: Sample): Map<Digest, number> {
  const blobs = [...sample.blobs].map(([digest, bytes]) => [digest, bytes.byteLength] as const)
  const manifests = sample.manifests.map(({ descriptor: { digest, size } }) => [digest, size] as const)
  return new Map([...blobs, ...manifests])
}

function bytesOnlyIn(sample: Sample, other: Sample): number {
  const elsewhere = contentsOf(other)
  let sum = 0
  for (const [digest, size] of contentsOf(sample)) if (!elsewhere.has(digest)) sum += size
  return sum
}

async function onDisk(store: Store, sample: Sample, except: Sample): Promise<Digest[]> {
  const elsewhere = contentsOf(except)
  const found: Digest[] = []
  for (const digest of contentsOf(sample).keys()) {
    if (!elsewhere.has(digest) && (await store.content.size(digest)) !== undefined) found.push(digest)
  }
  return found
}
