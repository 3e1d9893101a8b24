import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { rawManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { artifact, everyKind, image, index, multiPlatform, withReferrers } from '../fixtures/images.ts'
import { openTestStore, putSample, setTag } from '../fixtures/open-store.ts'

t.test('every kind of image is kept byte for byte', async t => {
  const { store } = await openTestStore(t)
  for (const [kind, sample] of Object.entries(everyKind())) {
    await putSample(store, 'mecm/kinds', sample, 'latest')
    t.equal(store.findTag('mecm/kinds', 'latest')?.descriptor.digest, sample.root.descriptor.digest, kind)
    for (const manifest of sample.manifests) {
      const { digest, mediaType, size } = manifest.descriptor
      t.match(store.findManifest('mecm/kinds', digest), { digest, mediaType, size })
      const read = await store.readManifest(digest)
      t.same(read?.descriptor, { digest, mediaType, size })
      t.ok(read && Buffer.from(read.bytes).equals(manifest.bytes), kind)
    }
    for (const [digest, bytes] of sample.blobs) t.equal(store.blobSize('mecm/kinds', digest), bytes.byteLength)
  }
})

t.test('content is shown only where it was put', async t => {
  const { store } = await openTestStore(t)
  const sample = image()
  await putSample(store, 'mecm/web', sample, '1')
  const [digest] = sample.blobs.keys()
  if (!digest) return t.fail('the sample has blobs')
  t.equal(store.findManifest('mecm/other', sample.root.descriptor.digest), undefined)
  t.equal(store.blobSize('mecm/other', digest), undefined)
  t.equal(store.hasRepository('mecm/other'), false)
  t.equal(store.hasRepository('mecm/web'), true)
  const used = await store.content.usedBytes()
  await putSample(store, 'mecm/other', sample, '1')
  t.equal(store.blobSize('mecm/other', digest), sample.blobs.get(digest)?.byteLength)
  t.equal(await store.content.usedBytes(), used, 'one copy, however many repositories use it')
})

t.test('a blob is linked only when it is here, with its true size', async t => {
  const { store } = await openTestStore(t)
  const bytes = Buffer.from('content')
  const blob = { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.byteLength }
  t.throws(() => store.linkBlob('mecm/web', blob), { code: 'BLOB_UNKNOWN', side: 'local' })
  await store.content.writeBytes(blob.digest, bytes)
  t.throws(() => store.linkBlob('mecm/web', { ...blob, size: 8 }), { code: 'SIZE_MISMATCH' })
  store.linkBlob('mecm/web', blob)
  store.linkBlob('mecm/web', blob)
  t.equal(store.blobSize('mecm/web', blob.digest), 7)
})

t.test('a manifest needs its config and layers in its own repository', async t => {
  const { store } = await openTestStore(t)
  const sample = image()
  await putSample(store, 'mecm/elsewhere', sample)
  await t.rejects(store.putManifest('mecm/web', sample.root), {
    code: 'BLOB_UNKNOWN',
    message: /mecm\/web has no blob/,
  })
  t.equal(store.findManifest('mecm/web', sample.root.descriptor.digest), undefined)
})

t.test('a manifest that lies about a size or its own digest is refused', async t => {
  const { store } = await openTestStore(t)
  const sample = image()
  await putSample(store, 'mecm/web', sample)
  const document: { layers: { size: number }[] } = JSON.parse(Buffer.from(sample.root.bytes).toString())
  for (const layer of document.layers) layer.size += 1
  const lying = rawManifest(Buffer.from(JSON.stringify(document)), mediaTypes.ociManifest)
  await t.rejects(store.putManifest('mecm/web', lying), { code: 'MANIFEST_INVALID' })
  const renamed = rawManifest(sample.root.bytes, mediaTypes.ociManifest, digestOf(Buffer.from('other')))
  await t.rejects(store.putManifest('mecm/web', renamed), { code: 'DIGEST_MISMATCH' })
})

t.test('an index may be sparse', async t => {
  const { store } = await openTestStore(t)
  const sample = multiPlatform(['linux/amd64', 'linux/arm64'])
  const [first] = sample.manifests
  if (!first) return t.fail('the sample has manifests')
  await putSample(store, 'mecm/web', { ...sample, manifests: [first, sample.root] }, '1')
  t.equal(store.findTag('mecm/web', '1')?.descriptor.digest, sample.root.descriptor.digest)
})

t.test('tags change together or not at all', async t => {
  const { store } = await openTestStore(t, { now: () => 1_700_000_000_000 })
  const [one, two] = [image({ seed: 'one' }), image({ seed: 'two' })]
  await putSample(store, 'mecm/web', one, '1')
  await putSample(store, 'mecm/web', two)
  const absent = image({ seed: 'absent' }).root
  const changes = [
    setTag('mecm/web', '1', two.root),
    { do: 'remove', repository: 'mecm/web', tag: '1' } as const,
    setTag('mecm/web', '2', absent),
  ]
  await t.rejects(store.changeTags(changes), { code: 'MANIFEST_UNKNOWN', side: 'local' })
  t.equal(store.findTag('mecm/web', '1')?.descriptor.digest, one.root.descriptor.digest, 'nothing has changed')
  await store.changeTags([setTag('mecm/web', '2', two.root), { do: 'remove', repository: 'mecm/web', tag: '1' }])
  t.equal(store.findTag('mecm/web', '1'), undefined)
  t.same(store.findTag('mecm/web', '2'), {
    repository: 'mecm/web',
    tag: '2',
    descriptor: two.root.descriptor,
    source: 'registry.example/mecm/web',
    updatedAt: 1_700_000_000_000,
  })
  t.ok(store.findManifest('mecm/web', one.root.descriptor.digest), 'a manifest outlives its tag')
})

t.test('repositories and tags are listed in order, page by page', async t => {
  const { store } = await openTestStore(t)
  const sample = image()
  for (const repository of ['mecm/b', 'mecm/a', 'other', 'mecm/a/sub', 'library/nginx'])
    await putSample(store, repository, sample)
  t.same(store.catalog(undefined, 100), ['library/nginx', 'mecm/a', 'mecm/a/sub', 'mecm/b', 'other'])
  t.same(store.catalog(undefined, 2), ['library/nginx', 'mecm/a'])
  t.same(store.catalog('mecm/a', 2), ['mecm/a/sub', 'mecm/b'])
  t.same(store.catalog('other', 2), [])
  t.same(store.catalog(undefined, 0), [])
  await store.changeTags(['v2', 'v10', 'V1', '_x'].map(tag => setTag('other', tag, sample.root)))
  t.same(store.tags('other', undefined, 100), ['_x', 'V1', 'v10', 'v2'])
  t.same(store.tags('other', 'V1', 1), ['v10'])
  t.same(store.tags('mecm/b', undefined, 100), [])
})

t.test('referrers are told with artifact type and annotations, in their repository', async t => {
  const { store } = await openTestStore(t)
  const subject = image()
  await putSample(store, 'mecm/web', withReferrers(subject), '1')
  const { digest } = subject.root.descriptor
  const found = store.referrers('mecm/web', digest)
  t.same(found.map(each => each.artifactType).sort(), [
    'application/spdx+json',
    'application/vnd.dev.cosign.artifact.sig.v1+json',
  ])
  t.ok(found.every(each => each.annotations?.['org.example.seed']?.startsWith('referrers')))
  t.same(store.referrers('mecm/other', digest), [])
  t.same(store.referrers('mecm/web', digestOf(Buffer.from('nothing'))), [])
})

t.test('a referrer without an artifact type has its config’s media type', async t => {
  const { store } = await openTestStore(t)
  const sample = artifact()
  await putSample(store, 'mecm/web', sample)
  const document: Record<string, unknown> = JSON.parse(Buffer.from(sample.root.bytes).toString())
  delete document.artifactType
  document.subject = image().root.descriptor
  const referrer = rawManifest(Buffer.from(JSON.stringify(document)), mediaTypes.ociManifest)
  await store.putManifest('mecm/web', referrer)
  t.match(store.referrers('mecm/web', image().root.descriptor.digest), [{ artifactType: mediaTypes.emptyJson }])
})

t.test('kept manifests are found before a repository shows them; other content is no manifest', async t => {
  const { store } = await openTestStore(t)
  const { root, blobs } = multiPlatform(['linux/amd64'])
  await store.content.writeBytes(root.descriptor.digest, root.bytes)
  t.same((await store.readManifest(root.descriptor.digest))?.descriptor, root.descriptor)
  for (const [digest, bytes] of blobs) {
    await store.content.writeBytes(digest, bytes)
    t.equal(await store.readManifest(digest), undefined)
  }
  const large = Buffer.alloc(5 * 1024 * 1024)
  await store.content.writeBytes(digestOf(large), large)
  t.equal(await store.readManifest(digestOf(large)), undefined)
})

t.test('images are listed with everything of them that is here', async t => {
  const { store } = await openTestStore(t)
  const inner = multiPlatform(['linux/amd64', 'linux/arm64'])
  const nested = index([inner])
  await putSample(store, 'mecm/nested', nested, '1')
  const single = image()
  await putSample(store, 'mecm/single', single, '1')
  const all = (sample: typeof nested) =>
    [...sample.blobs.values(), ...sample.manifests.map(manifest => manifest.bytes)].reduce(
      (sum, bytes) => sum + bytes.byteLength,
      0,
    )
  t.match(store.images(), [
    { repository: 'mecm/nested', tag: '1', descriptor: nested.root.descriptor, size: all(nested) },
    { repository: 'mecm/single', tag: '1', descriptor: single.root.descriptor, size: all(single) },
  ])
})
