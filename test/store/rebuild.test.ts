import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { blobPath } from '../../src/store/layout.ts'
import { everyKind, image, multiPlatform, withReferrers } from '../fixtures/images.ts'
import { openTestStore, putSample, setTag } from '../fixtures/open-store.ts'
import { openTestState } from '../fixtures/state-folder.ts'

interface IndexDocument {
  schemaVersion: number
  mediaType: string
  manifests: Descriptor[]
}

const readIndex = (root: string): IndexDocument => JSON.parse(readFileSync(join(root, 'index.json'), 'utf8'))

/** The same layout after its database was lost. */
async function reopenWithoutState(t: Test, dir: string) {
  rmSync(join(dir, 'state'), { recursive: true })
  return await openTestStore(t, { dir })
}

t.test('the folder is an OCI image layout', async t => {
  const { store, root } = await openTestStore(t)
  t.same(JSON.parse(readFileSync(join(root, 'oci-layout'), 'utf8')), { imageLayoutVersion: '1.0.0' })
  const signed = withReferrers(image({ seed: 'signed' }))
  await putSample(store, 'mecm/web', signed, '2.1.0')
  const untagged = multiPlatform(['linux/amd64', 'linux/arm64'])
  await putSample(store, 'mecm/db', untagged)
  await store.stop()
  const { schemaVersion, mediaType, manifests } = readIndex(root)
  t.equal(schemaVersion, 2)
  t.equal(mediaType, 'application/vnd.oci.image.index.v1+json')
  const [, ...referrers] = signed.manifests.map(manifest => manifest.descriptor.digest)
  t.same(
    manifests.map(({ digest, annotations }) => [
      digest,
      annotations?.['org.opencontainers.image.ref.name'] ?? annotations?.['io.edge-image-agent.repository'],
    ]),
    [
      [untagged.root.descriptor.digest, 'mecm/db'],
      ...referrers.sort().map(digest => [digest, 'mecm/web']),
      [signed.root.descriptor.digest, 'mecm/web:2.1.0'],
    ],
    'roots without a tag, referrers and tags; not the manifests that an index lists',
  )
})

t.test('10,000 tags: a change costs no write of the list', async t => {
  const { store, root } = await openTestStore(t, { indexDelayMs: 60_000 })
  const [old, next] = [image({ seed: 'old' }), image({ seed: 'next' })]
  await putSample(store, 'mecm/web', old)
  await putSample(store, 'mecm/web', next)
  await store.changeTags(Array.from({ length: 10_000 }, (_, i) => setTag('mecm/web', `build-${i}`, old.root)))
  t.notOk(existsSync(join(root, 'index.json')))
  const before = process.hrtime.bigint()
  for (let i = 0; i < 20; i++) await store.changeTags([setTag('mecm/web', `build-${i}`, next.root)])
  const each = Number(process.hrtime.bigint() - before) / 20e6
  t.notOk(existsSync(join(root, 'index.json')), 'no write for any of 20 changes')
  t.comment(`${each.toFixed(2)} ms for a change`)
  await store.stop()
  t.equal(readIndex(root).manifests.length, 10_000)
  const written = statSync(join(root, 'index.json')).mtimeMs
  await store.stop()
  t.equal(statSync(join(root, 'index.json')).mtimeMs, written, 'nothing new, no write')
})

t.test('when the database is lost, everything comes back from index.json', async t => {
  const first = await openTestStore(t)
  const kinds = Object.entries(everyKind())
  for (const [at, [, sample]] of kinds.entries()) await putSample(first.store, `mecm/kind-${at}`, sample, 'latest')
  const untagged = image({ seed: 'untagged' })
  await putSample(first.store, 'mecm/untagged', untagged)
  const before = { images: first.store.images(), catalog: first.store.catalog(undefined, 100) }
  await first.stop()

  const { store, state } = await reopenWithoutState(t, first.dir)
  t.equal(state.fresh, true)
  const undated = (images: typeof before.images) => images.map(({ updatedAt, ...rest }) => rest)
  t.same(undated(store.images()), undated(before.images), 'tags, sizes and sources')
  t.same(store.catalog(undefined, 100), before.catalog)
  for (const [at, [kind, sample]] of kinds.entries()) {
    for (const { descriptor } of sample.manifests) {
      t.match(store.findManifest(`mecm/kind-${at}`, descriptor.digest), descriptor, kind)
    }
    for (const [digest, bytes] of sample.blobs) t.equal(store.blobSize(`mecm/kind-${at}`, digest), bytes.byteLength)
  }
  t.ok(store.findManifest('mecm/untagged', untagged.root.descriptor.digest))
})

t.test('what is incomplete is left out, the rest comes back', async t => {
  const first = await openTestStore(t)
  const [whole, noLayer, noManifest] = [
    image({ seed: 'whole' }),
    image({ seed: 'no-layer' }),
    image({ seed: 'no-manifest' }),
  ]
  const sparse = multiPlatform(['linux/amd64', 'linux/arm64'], { seed: 'sparse' })
  for (const [tag, sample] of Object.entries({ whole, noLayer, noManifest, sparse }))
    await putSample(first.store, 'mecm/web', sample, tag)
  await first.stop()
  const layer = [...noLayer.blobs.keys()].at(-1)
  const child = sparse.manifests[0]?.descriptor.digest
  for (const digest of [layer, noManifest.root.descriptor.digest, child])
    if (digest) rmSync(blobPath(first.root, digest))

  const { store } = await reopenWithoutState(t, first.dir)
  t.same(store.tags('mecm/web', undefined, 10), ['sparse', 'whole'])
  t.equal(store.findManifest('mecm/web', noLayer.root.descriptor.digest), undefined)
})

t.test('a layout is read once, not at every start', async t => {
  const first = await openTestStore(t)
  const sample = image()
  await putSample(first.store, 'mecm/web', sample, '1')
  await first.stop()
  const second = await openTestStore(t, { dir: first.dir })
  await second.store.changeTags([{ do: 'remove', repository: 'mecm/web', tag: '1' }])
  second.state.close() // as a kill would: index.json still names the tag
  t.equal(readIndex(first.root).manifests[0]?.annotations?.['org.opencontainers.image.ref.name'], 'mecm/web:1')
  const third = await openTestStore(t, { dir: first.dir })
  t.same(third.store.tags('mecm/web', undefined, 10), [], 'the database is the truth')
  await third.store.stop()
  t.same(readIndex(first.root).manifests[0]?.annotations, { 'io.edge-image-agent.repository': 'mecm/web' })
})

t.test('an index.json from elsewhere: what names no repository of ours is left out', async t => {
  const first = await openTestStore(t)
  const sample = image()
  await putSample(first.store, 'mecm/web', sample, '1')
  await first.stop()
  const document = readIndex(first.root)
  const { descriptor } = sample.root
  const named = (name: string) => ({ ...descriptor, annotations: { 'org.opencontainers.image.ref.name': name } })
  const strange = [named('latest'), named('Not A Name'), descriptor, { ...descriptor, digest: 'md5:00' }]
  writeFileSync(
    join(first.root, 'index.json'),
    JSON.stringify({ ...document, manifests: [...document.manifests, ...strange] }),
  )
  const { store } = await reopenWithoutState(t, first.dir)
  t.same(
    store.images().map(({ repository, tag }) => `${repository}:${tag}`),
    ['mecm/web:1'],
  )
})

t.test('an index.json that can not be read is kept aside', async t => {
  for (const content of ['{"manifests": [', '{"manifests": "none"}']) {
    const dir = t.testdir({ registry: { 'index.json': content } })
    const { store, root } = await openTestStore(t, { dir })
    t.same(store.images(), [])
    t.equal(readFileSync(join(root, 'index.json.unreadable'), 'utf8'), content)
    await store.stop()
    t.same(readIndex(root).manifests, [])
  }
})

t.test('a folder that is no folder is refused', async t => {
  const dir = t.testdir({ registry: 'a file' })
  const state = openTestState(t, join(dir, 'state'))
  await t.rejects(openTestStore(t, { dir, state }), { name: 'StateError', code: 'not-writable' })
})
