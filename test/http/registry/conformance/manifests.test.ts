/**
 * OCI distribution-spec 1.1, "Pushing Manifests", "Content Discovery" and "Content Management", beyond what programme.test.ts asks: errors,
 * limits, and what else a change takes along, over a real port and a real disk.
 */
import t, { type Test } from 'tap'
import { type Digest, digestOf } from '../../../../src/oci/digest.ts'
import { maxManifestBytes, type RawManifest, rawManifest } from '../../../../src/oci/manifest.ts'
import { mediaTypes } from '../../../../src/oci/media-types.ts'
import { artifact, image, multiPlatform, withReferrers } from '../../../fixtures/images.ts'
import { type Answer, codesOf, type PushClient, startPushRegistry } from '../../../fixtures/push-registry.ts'

const repository = 'conformance/repo1'

function manifestUrl(reference: string): string {
  return `/v2/${repository}/manifests/${reference}`
}

/** A manifest of these fields, as bytes. */
function manifestOf(mediaType: string, fields: object, algorithm: 'sha256' | 'sha512' = 'sha256'): RawManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }))
  return rawManifest(bytes, mediaType, digestOf(bytes, algorithm))
}

async function checkPull(t: Test, client: PushClient, manifest: RawManifest, reference: string): Promise<void> {
  for (const method of ['GET', 'HEAD'] as const) {
    const answer = await client.send(method, manifestUrl(reference), { headers: { accept: mediaTypes.ociIndex } })
    t.equal(answer.status, 200, `${method} ${reference}`)
    t.match(answer.headers, {
      'content-type': manifest.descriptor.mediaType,
      'content-length': String(manifest.bytes.byteLength),
      'docker-content-digest': manifest.descriptor.digest,
    })
    t.equal(digestOf(answer.body), digestOf(method === 'GET' ? manifest.bytes : Buffer.alloc(0)))
  }
}

async function tagsIn(client: PushClient, query = ''): Promise<string[]> {
  const answer = await client.send('GET', `/v2/${repository}/tags/list${query}`)
  if (answer.status === 404) return []
  const { tags }: { tags: string[] } = JSON.parse(answer.body.toString())
  return tags
}

interface ReferrersAnswer {
  readonly schemaVersion: number
  readonly mediaType: string
  readonly manifests: readonly { digest: string; artifactType?: string; annotations?: object; size: number }[]
}

async function referrersOf(client: PushClient, digest: Digest, query = ''): Promise<[Answer, ReferrersAnswer]> {
  const answer = await client.send('GET', `/v2/${repository}/referrers/${digest}${query}`)
  return [answer, JSON.parse(answer.body.toString())]
}

t.test('PUT answers 201 with a location and the digest, by tag, by digest, for both algorithms', async t => {
  const { client } = await startPushRegistry(t)
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const sample = image({ seed: algorithm, algorithm })
    await client.pushSample(repository, sample)
    const { digest } = sample.root.descriptor
    const answer = await client.putManifest(repository, sample.root)
    t.equal(answer.status, 201)
    t.match(answer.headers, { location: manifestUrl(digest), 'docker-content-digest': digest })
    const tagged = await client.putManifest(repository, sample.root, `by-tag-${algorithm}`)
    t.equal(tagged.headers['docker-content-digest'], digestOf(sample.root.bytes), 'a tag is of the canonical algorithm')
    t.ok((await client.send('GET', tagged.headers.location ?? '')).body.equals(sample.root.bytes))
  }
})

t.test('tags as parameters', async t => {
  const { client } = await startPushRegistry(t)
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const sample = image({ seed: algorithm, algorithm })
    await client.pushSample(repository, sample)
    const reference = `${sample.root.descriptor.digest}?tag=${algorithm}-a&tag=${algorithm}-b`
    const answer = await client.putManifest(repository, sample.root, reference)
    t.equal(answer.status, 201)
    t.equal(answer.headers['oci-tag'], `${algorithm}-a, ${algorithm}-b`)
    for (const tag of ['a', 'b']) await checkPull(t, client, sample.root, `${algorithm}-${tag}`)
  }
  t.same(await tagsIn(client), ['sha256-a', 'sha256-b', 'sha512-a', 'sha512-b'])
  const sample = image({ seed: 'sha256' })
  const bad = await client.putManifest(repository, sample.root, `${sample.root.descriptor.digest}?tag=.no`)
  t.equal(bad.status, 400)
  const many = Array.from({ length: 101 }, (_, position) => `tag=t${position}`).join('&')
  t.equal((await client.putManifest(repository, sample.root, `${sample.root.descriptor.digest}?${many}`)).status, 414)
})

t.test('what is no manifest, or not what its digest says, is 400', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image()
  await client.pushSample(repository, sample)
  const { mediaType, digest } = sample.root.descriptor
  const put = (body: string | Buffer, reference: string = digestOf(Buffer.from(body)), type = mediaType) =>
    client.send('PUT', manifestUrl(reference), { headers: { 'content-type': type }, body: Buffer.from(body) })
  const cases: [string, Answer, string][] = [
    ['another digest', await put(`${Buffer.from(sample.root.bytes)}  `, digest), 'DIGEST_INVALID'],
    ['no digest', await put(Buffer.from(sample.root.bytes), 'sha256:baddigeststring'), 'DIGEST_INVALID'],
    ['an unknown algorithm', await put(Buffer.from(sample.root.bytes), 'md5:0123'), 'DIGEST_INVALID'],
    ['no JSON', await put('hello'), 'MANIFEST_INVALID'],
    ['nothing', await put(''), 'MANIFEST_INVALID'],
    ['no manifest', await put('{}'), 'MANIFEST_INVALID'],
    [
      'another type than it says',
      await put(Buffer.from(sample.root.bytes), 'x', mediaTypes.ociIndex),
      'MANIFEST_INVALID',
    ],
    ['an unknown type', await put('{"mediaType":"application/x"}', 'x', 'application/x'), 'UNSUPPORTED'],
    ['Docker schema 1', await put('{"schemaVersion":1,"fsLayers":[]}'), 'UNSUPPORTED'],
  ]
  for (const [what, answer, code] of cases) {
    t.equal(answer.status, 400, what)
    t.same(codesOf(answer), [code], what)
    t.match(answer.headers['content-type'], /^application\/json/)
  }
  t.same(await tagsIn(client), [])
})

t.test('types may have parameters, or stand in the content alone', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image()
  await client.pushSample(repository, sample)
  for (const type of [`${sample.root.descriptor.mediaType}; charset=utf-8`, 'application/json', undefined]) {
    const body = Buffer.from(sample.root.bytes)
    const headers = type === undefined ? {} : { headers: { 'content-type': type } }
    const answer = await client.send('PUT', manifestUrl('v1'), { ...headers, body })
    t.equal(answer.status, 201, String(type))
    await checkPull(t, client, sample.root, 'v1')
  }
})

t.test('a manifest may have 4 MiB, a larger one is 413', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image()
  await client.pushSample(repository, sample)
  const fields: object = JSON.parse(Buffer.from(sample.root.bytes).toString())
  const annotations = Object.fromEntries(Array.from({ length: 390 }, (_, at) => [`large-${at}`, 'A'.repeat(10_000)]))
  const large = manifestOf(mediaTypes.ociManifest, { ...fields, annotations })
  t.equal((await client.putManifest(repository, large, 'large')).status, 201)
  await checkPull(t, client, large, 'large')
  const annotated = { ...fields, annotations: { long: 'A'.repeat(maxManifestBytes) } }
  const tooLarge = await client.putManifest(repository, manifestOf(mediaTypes.ociManifest, annotated), 'too-large')
  t.equal(tooLarge.status, 413)
  t.same(codesOf(tooLarge), ['SIZE_INVALID'])
})

t.test('a manifest whose blobs are missing is refused, each is named; an index may be sparse', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image({ layers: [1000, 1001, 1002] })
  const [first, ...missing] = [...sample.blobs]
  if (first) await client.pushBlob(repository, first[1], first[0])
  const answer = await client.putManifest(repository, sample.root, 'v1')
  t.equal(answer.status, 404)
  t.same(codesOf(answer), ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'])
  const { errors }: { errors: { detail: { digest: string } }[] } = JSON.parse(answer.body.toString())
  t.same(errors.map(error => error.detail.digest).sort(), missing.map(([digest]) => digest).sort())
  await client.pushSample('conformance/repo2', sample)
  t.equal((await client.putManifest(repository, sample.root)).status, 404, 'what another repository has does not count')

  const both = multiPlatform(['linux/amd64', 'linux/arm64'])
  t.equal((await client.putManifest(repository, both.root, 'sparse')).status, 201)
  await checkPull(t, client, both.root, 'sparse')
})

t.test('a config or a layer with another size than it has is refused', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image({ layers: [] })
  await client.pushSample(repository, sample)
  const text = Buffer.from(sample.root.bytes).toString()
  const wrong = Buffer.from(text.replace(/"size":\d+/, '"size":1'))
  const answer = await client.putManifest(repository, rawManifest(wrong, mediaTypes.ociManifest))
  t.equal(answer.status, 400)
  t.same(codesOf(answer), ['MANIFEST_INVALID'])
})

t.test('tags are listed in order, in pages', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image()
  t.equal((await client.send('GET', `/v2/${repository}/tags/list`)).status, 404, 'no such repository')
  await client.pushSample(repository, sample)
  t.same(await tagsIn(client), [], 'a repository without tags')
  for (const tag of ['b', 'C', 'a', '10', '9', 'B']) await client.putManifest(repository, sample.root, tag)
  t.same(await tagsIn(client), ['10', '9', 'a', 'B', 'b', 'C'], 'whatever their case')
  t.same(await tagsIn(client, '?n=2'), ['10', '9'])
  t.same(await tagsIn(client, '?n=2&last=9'), ['a', 'B'])
  t.same(await tagsIn(client, '?last=B'), ['b', 'C'])
  t.same(await tagsIn(client, '?last=A'), ['a', 'B', 'b', 'C'], 'after a tag that is not there')
  t.same(await tagsIn(client, '?n=100'), ['10', '9', 'a', 'B', 'b', 'C'])
  t.same(await tagsIn(client, '?n=0'), [])
  const page = await client.send('GET', `/v2/${repository}/tags/list?n=3`)
  const [, next = ''] = /^<([^>]+)>; rel="next"$/.exec(page.headers.link ?? '') ?? []
  t.match(JSON.parse((await client.send('GET', next)).body.toString()), { name: repository, tags: ['B', 'b', 'C'] })
  const zero = await client.send('GET', `/v2/${repository}/tags/list?n=0`)
  t.equal(zero.headers.link, undefined)
  const catalog = await client.send('GET', '/v2/_catalog')
  t.same(JSON.parse(catalog.body.toString()), { repositories: [repository] })
})

t.test('referrers are there at once, also of what is not here, and gone at once', async t => {
  const { client } = await startPushRegistry(t)
  const subject = image({ seed: 'subject' })
  const signed = withReferrers(subject)
  const referrers = signed.manifests.filter(manifest => manifest !== subject.root)
  const { digest } = subject.root.descriptor

  const [none, empty] = await referrersOf(client, digest)
  t.equal(none.status, 200)
  t.equal(none.headers['content-type'], mediaTypes.ociIndex)
  t.same(empty, { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] })
  t.equal((await client.send('GET', `/v2/${repository}/referrers/sha256:bad`)).status, 400)

  for (const [blob, bytes] of signed.blobs) await client.pushBlob(repository, bytes, blob)
  for (const manifest of referrers) {
    const answer = await client.putManifest(repository, manifest)
    t.equal(answer.status, 201, 'the subject may come later')
    t.equal(answer.headers['oci-subject'], digest)
  }
  t.equal((await client.putManifest(repository, subject.root)).headers['oci-subject'], undefined)
  const [, { manifests }] = await referrersOf(client, digest)
  t.same(manifests.map(found => found.digest).sort(), referrers.map(manifest => manifest.descriptor.digest).sort())
  for (const found of manifests) t.match(found, { artifactType: String, annotations: { 'org.example.seed': String } })

  const type = 'application/spdx+json'
  const [answer, filtered] = await referrersOf(client, digest, `?artifactType=${encodeURIComponent(type)}`)
  t.equal(answer.headers['oci-filters-applied'], 'artifactType')
  t.same(
    filtered.manifests.map(found => found.artifactType),
    [type],
  )
  t.same((await referrersOf(client, digest, '?artifactType=none'))[1].manifests, [])

  for (const [at, manifest] of referrers.entries()) {
    t.equal((await client.send('DELETE', manifestUrl(manifest.descriptor.digest))).status, 202)
    t.equal((await referrersOf(client, digest))[1].manifests.length, referrers.length - at - 1)
  }
})

t.test('the artifact type of a referrer: its own, its config, or none', async t => {
  const { client } = await startPushRegistry(t)
  const subject = image({ seed: 'subject' })
  await client.pushSample(repository, subject)
  const { descriptor } = subject.root
  const plain = artifact({ seed: 'plain', artifactType: '', subject: descriptor })
  await client.pushSample(repository, plain)
  const typed = artifact({ seed: 'typed', artifactType: 'application/x', subject: descriptor })
  await client.pushSample(repository, typed)
  const lists = [{}, { artifactType: 'application/y' }].map(fields =>
    manifestOf(mediaTypes.ociIndex, { manifests: [], subject: descriptor, annotations: { a: 'b' }, ...fields }),
  )
  for (const list of lists)
    t.equal((await client.putManifest(repository, list)).headers['oci-subject'], descriptor.digest)
  const [, { manifests }] = await referrersOf(client, descriptor.digest)
  const types = new Map(manifests.map(found => [found.digest, found.artifactType]))
  t.equal(types.get(plain.root.descriptor.digest), mediaTypes.emptyJson)
  t.equal(types.get(typed.root.descriptor.digest), 'application/x')
  t.same(
    lists.map(list => types.get(list.descriptor.digest)),
    [undefined, 'application/y'],
  )
  t.ok(manifests.every(found => found.annotations !== undefined))
})

t.test('a deleted manifest takes its tags along, and nothing else', async t => {
  const { client } = await startPushRegistry(t)
  const sample = image({ seed: 'tagged' })
  const stays = image({ seed: 'stays' })
  await client.pushSample(repository, sample, 'v1')
  await client.pushSample(repository, sample, 'v2')
  await client.pushSample(repository, stays, 'v3')
  await client.pushSample('conformance/repo2', sample, 'v1')
  t.equal((await client.send('DELETE', manifestUrl('v2'))).status, 202)
  await checkPull(t, client, sample.root, sample.root.descriptor.digest)
  t.same(await tagsIn(client), ['v1', 'v3'], 'a tag alone takes nothing along')
  t.equal((await client.send('DELETE', manifestUrl(sample.root.descriptor.digest))).status, 202)
  t.same(await tagsIn(client), ['v3'])
  await checkPull(t, client, stays.root, 'v3')
  const elsewhere = await client.send('GET', `/v2/conformance/repo2/manifests/v1`)
  t.equal(elsewhere.status, 200, 'another repository keeps it')
  t.equal((await client.send('DELETE', manifestUrl(sample.root.descriptor.digest))).status, 404, 'deleted twice')
  t.equal((await client.send('DELETE', '/v2/not/here/manifests/v1')).status, 404, 'no such repository')
  t.equal((await client.send('DELETE', manifestUrl('missing'))).status, 404)
  t.equal((await client.send('GET', manifestUrl('missing'))).status, 404)
  t.equal((await client.send('GET', manifestUrl(digestOf(Buffer.from('missing'))))).status, 404)
})

t.test('the API answers at its base', async t => {
  const { client } = await startPushRegistry(t)
  t.equal((await client.send('GET', '/v2/')).status, 200)
  const answer = await client.send('POST', `/v2/${repository}/tags/list`)
  t.equal(answer.status, 405)
  t.match(answer.headers, { allow: 'GET, HEAD' })
  t.same(codesOf(answer), ['UNSUPPORTED'])
  const options = await client.send('OPTIONS', `${manifestUrl('v1')}?a=b`)
  t.equal(options.status, 405, 'a method that is nowhere in the API')
  t.match(options.headers, { allow: 'GET, HEAD, PUT, DELETE' })
  t.same(codesOf(options), ['UNSUPPORTED'])
})
