/** The write side beyond the specification: who may, what is held, what is told, what a lost link leaves. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import t from 'tap'
import type { Authorize, RegistryAccess } from '../../../src/http/registry/authorize.ts'
import { pullOnly } from '../../../src/http/registry/authorize.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { image, multiPlatform } from '../../fixtures/images.ts'
import { blobOf, codesOf, octets, startPushRegistry, withDigest } from '../../fixtures/push-registry.ts'
import { cannotMount, mountSmallDisk } from '../../fixtures/small-disk.ts'

const repository = 'mecm/web'

t.test('off, nothing is written: 405', async t => {
  const { client } = await startPushRegistry(t, { push: false })
  for (const [method, path] of [
    ['POST', `/v2/${repository}/blobs/uploads/`],
    ['PUT', `/v2/${repository}/manifests/v1`],
    ['DELETE', `/v2/${repository}/manifests/v1`],
    ['DELETE', `/v2/${repository}/blobs/${digestOf(Buffer.alloc(0))}`],
  ] as const) {
    const answer = await client.send(method, path)
    t.equal(answer.status, 405, method)
    t.same(codesOf(answer), ['UNSUPPORTED'])
    t.equal(answer.headers.allow, 'GET, HEAD')
  }
  t.equal((await client.send('GET', `/v2/${repository}/blobs/uploads/1`)).status, 405)
})

t.test('without access control anyone pulls and nobody writes', async t => {
  const { client } = await startPushRegistry(t, { authorize: pullOnly })
  t.equal((await client.send('GET', '/v2/')).status, 200)
  t.equal((await client.send('GET', `/v2/${repository}/manifests/v1`)).status, 404)
  const answer = await client.send('POST', `/v2/${repository}/blobs/uploads/`)
  t.equal(answer.status, 403)
  t.same(codesOf(answer), ['DENIED'])
})

t.test('every request is asked for, and refused in the words of the decision', async t => {
  const asked: RegistryAccess[] = []
  const authorize: Authorize = async (request, access) => {
    asked.push(access)
    t.match(request.origin, /^http:\/\/127\.0\.0\.1:\d+$/)
    t.equal(request.remoteAddress, '127.0.0.1')
    if (request.authorization === 'Bearer good') return { outcome: 'allow', caller: 'ci' }
    if (request.authorization === 'Bearer fast') {
      return { outcome: 'limit', retryAfterSeconds: 30, message: 'too many failed logins' }
    }
    if (request.authorization === 'Bearer poor') return { outcome: 'deny', message: 'registry:push is missing' }
    return { outcome: 'challenge', wwwAuthenticate: 'Bearer realm="x"', message: 'log in' }
  }
  const { client } = await startPushRegistry(t, { authorize })
  const digest = digestOf(Buffer.from('x'))
  const cases = [
    ['GET', '/v2/', { action: 'pull', base: true }],
    ['GET', '/v2', { action: 'pull', base: true }],
    ['GET', '/v2/_catalog', { action: 'pull' }],
    ['GET', `/v2/${repository}/tags/list`, { action: 'pull', repository }],
    ['HEAD', `/v2/${repository}/manifests/v1`, { action: 'pull', repository }],
    ['GET', `/v2/${repository}/blobs/${digest}`, { action: 'pull', repository }],
    ['GET', `/v2/${repository}/referrers/${digest}`, { action: 'pull', repository }],
    ['PUT', `/v2/${repository}/manifests/v1`, { action: 'push', repository }],
    ['POST', `/v2/${repository}/blobs/uploads/`, { action: 'push', repository }],
    ['GET', `/v2/${repository}/blobs/uploads/1`, { action: 'push', repository }],
    ['PATCH', `/v2/${repository}/blobs/uploads/1`, { action: 'push', repository }],
    ['PUT', `/v2/${repository}/blobs/uploads/1`, { action: 'push', repository }],
    ['DELETE', `/v2/${repository}/blobs/uploads/1`, { action: 'push', repository }],
    ['DELETE', `/v2/${repository}/manifests/v1`, { action: 'delete', repository }],
    ['DELETE', `/v2/${repository}/blobs/${digest}`, { action: 'delete', repository }],
  ] as const
  for (const [method, path, access] of cases) {
    asked.length = 0
    const answer = await client.send(method, path)
    t.equal(answer.status, 401, `${method} ${path}`)
    t.equal(answer.headers['www-authenticate'], 'Bearer realm="x"')
    t.same(asked, [access])
    if (method !== 'HEAD') t.same(codesOf(answer), ['UNAUTHORIZED'])
  }
  const poor = await client.send('GET', '/v2/', { headers: { authorization: 'Bearer poor' } })
  t.equal(poor.status, 403)
  t.match(poor.body.toString(), 'registry:push is missing')
  const fast = await client.send('GET', '/v2/', { headers: { authorization: 'Bearer fast' } })
  t.equal(fast.status, 429)
  t.equal(fast.headers['retry-after'], '30')
})

t.test('a mount gives away nothing that the caller may not pull', async t => {
  const authorize: Authorize = async (_request, access) =>
    access.action === 'pull' && access.repository === 'secret/app'
      ? { outcome: 'deny', message: 'no' }
      : { outcome: 'allow' }
  const { client, store } = await startPushRegistry(t, { authorize })
  const { bytes, digest } = blobOf('secret')
  await client.pushBlob('secret/app', bytes, digest)
  for (const from of ['', '&from=secret/app']) {
    const answer = await client.send('POST', `/v2/${repository}/blobs/uploads/?mount=${digest}${from}`)
    t.equal(answer.status, 202, 'as if it were not there')
  }
  t.equal(store.blobSize(repository, digest), undefined)
})

t.test('what somebody holds neither goes nor moves, and they are named', async t => {
  const held = new Set<string>()
  const protects = (name: string, reference: { tag: string } | { digest: string }) => {
    const key = 'tag' in reference ? `${name}:${reference.tag}` : `${name}@${reference.digest}`
    return held.has(key) ? 'plan web-2.1.0' : undefined
  }
  const { client } = await startPushRegistry(t, { protects })
  const list = multiPlatform(['linux/amd64', 'linux/arm64'])
  const child = list.manifests[0]?.descriptor.digest ?? ''
  const { digest } = list.root.descriptor
  await client.pushSample(repository, list, 'v1')
  const other = image({ seed: 'other' })
  await client.pushSample(repository, other)
  const at = (reference: string) => `/v2/${repository}/manifests/${reference}`
  const refused = [() => client.send('DELETE', at(digest)), () => client.send('DELETE', at(child))]
  held.add(`${repository}:v1`)
  for (const attempt of [
    ...refused,
    () => client.send('DELETE', at('v1')),
    () => client.putManifest(repository, other.root, 'v1'),
  ]) {
    const answer = await attempt()
    t.equal(answer.status, 409)
    t.same(codesOf(answer), ['DENIED'])
    t.match(answer.body.toString(), 'plan web-2.1.0')
  }
  t.equal((await client.putManifest(repository, list.root, 'v1')).status, 201, 'the same content again')
  held.clear()
  held.add(`${repository}@${digest}`)
  for (const attempt of refused) t.equal((await attempt()).status, 409)
  t.equal((await client.send('DELETE', at('v1'))).status, 202, 'a tag is not what is held')
  held.clear()
  for (const attempt of refused) t.equal((await attempt()).status, 202)
})

t.test('a blob that a manifest needs stays', async t => {
  const { client, store } = await startPushRegistry(t)
  const sample = image({ layers: [500] })
  await client.pushSample(repository, sample)
  const { digest } = sample.root.descriptor
  for (const blob of sample.blobs.keys()) {
    const answer = await client.send('DELETE', `/v2/${repository}/blobs/${blob}`)
    t.equal(answer.status, 405)
    t.same(codesOf(answer), ['DENIED'])
    t.match(answer.body.toString(), digest)
  }
  await client.pushSample('mecm/copy', sample)
  await client.send('DELETE', `/v2/${repository}/manifests/${digest}`)
  for (const blob of sample.blobs.keys()) {
    t.equal((await client.send('DELETE', `/v2/${repository}/blobs/${blob}`)).status, 202, 'only of its own repository')
    t.ok(store.blobSize('mecm/copy', blob))
  }
})

t.test('every change is told, with who made it', async t => {
  const authorize: Authorize = async () => ({ outcome: 'allow', caller: 'ci' })
  const { client, written } = await startPushRegistry(t, { authorize })
  const sample = image({ layers: [] })
  const { digest } = sample.root.descriptor
  const [blob] = sample.blobs.keys()
  await client.pushSample(repository, sample, 'v1')
  await client.send('DELETE', `/v2/${repository}/manifests/v1`)
  await client.send('DELETE', `/v2/${repository}/manifests/v1`)
  await client.send('DELETE', `/v2/${repository}/manifests/${digest}`)
  await client.send('DELETE', `/v2/${repository}/blobs/${blob}`)
  const by = { caller: 'ci', from: '127.0.0.1', repository }
  t.same(written, [
    { ...by, action: 'push', object: 'manifest', reference: digest },
    { ...by, action: 'push', object: 'manifest', reference: digest },
    { ...by, action: 'push', object: 'tag', reference: 'v1' },
    { ...by, action: 'delete', object: 'tag', reference: 'v1' },
    { ...by, action: 'delete', object: 'manifest', reference: digest },
    { ...by, action: 'delete', object: 'blob', reference: blob },
  ])
})

t.test('a client that leaves in the middle of a chunk goes on later', async t => {
  const { client, server, store } = await startPushRegistry(t)
  const { bytes, digest } = blobOf('cut', 500_000)
  const location = await client.begin(repository)
  const id = location.split('/').at(-1) ?? ''
  const [host = '', port = ''] = server.address.split(':')
  const socket = connect(Number(port), host)
  await once(socket, 'connect')
  socket.write(`PATCH ${location} HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes.length}\r\n\r\n`)
  socket.write(bytes.subarray(0, 300_000))
  for (let tries = 0; store.uploads.find(repository, id)?.offset !== 300_000; tries++) {
    if (tries > 500) throw new Error('the bytes did not arrive within 5 s')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  socket.destroy()
  const status = await client.send('GET', location)
  t.equal(status.headers.range, '0-299999')
  const rest = await client.send('PATCH', location, {
    headers: { ...octets, 'content-range': '300000-499999' },
    body: bytes.subarray(300_000),
  })
  t.equal(rest.status, 202)
  t.equal((await client.send('PUT', withDigest(location, digest))).status, 201)
})

t.test('headers that contradict each other are refused, and nothing is taken', async t => {
  const { client } = await startPushRegistry(t)
  const location = await client.begin(repository)
  for (const [range, code] of [
    ['0-5', 'SIZE_INVALID'],
    ['5-0', 'BLOB_UPLOAD_INVALID'],
    ['x', 'BLOB_UPLOAD_INVALID'],
    ['bytes=', 'BLOB_UPLOAD_INVALID'],
  ] as const) {
    const headers = { ...octets, 'content-range': range }
    const answer = await client.send('PATCH', location, { headers, body: Buffer.alloc(10) })
    t.equal(answer.status, 400, range)
    t.same(codesOf(answer), [code])
  }
  t.equal((await client.send('GET', location)).headers.range, '0-0')
  const rfc = await client.send('PATCH', location, {
    headers: { ...octets, 'content-range': 'bytes 0-9/*' },
    body: Buffer.alloc(10),
  })
  t.equal(rfc.status, 202, 'the form of the RFC')
})

t.test('sessions have an end: 429, 413', async t => {
  const { client } = await startPushRegistry(t, { uploads: { maxSessions: 1, maxBytes: 1000 } })
  const location = await client.begin(repository)
  const more = await client.send('POST', `/v2/${repository}/blobs/uploads/`)
  t.equal(more.status, 429)
  t.same(codesOf(more), ['TOOMANYREQUESTS'])
  t.ok(Number(more.headers['retry-after']) > 0)
  const large = await client.send('PATCH', location, { headers: octets, body: Buffer.alloc(1001) })
  t.equal(large.status, 413)
  t.same(codesOf(large), ['SIZE_INVALID'])
})

t.test('a full disk is told with what to do, and the session goes on', { skip: cannotMount() }, async t => {
  const { client } = await startPushRegistry(t, { root: mountSmallDisk(t, 1024 * 1024) })
  const location = await client.begin(repository)
  const { bytes, digest } = blobOf('small', 300_000)
  const body = Readable.from([bytes, Buffer.alloc(2_000_000)], { objectMode: false })
  for (const large of [Buffer.alloc(2_000_000), body]) {
    const answer = await client.send('PATCH', location, { headers: octets, body: large })
    t.equal(answer.status, 507)
    t.match(answer.body.toString(), /no space|to come.*free space/)
    t.match(answer.body.toString(), /remove images/)
  }
  const { headers } = await client.send('GET', location)
  t.ok(Number(headers.range?.split('-')[1]) > 300_000, headers.range ?? '')
  t.equal((await client.send('DELETE', location)).status, 204)
  t.equal((await client.pushBlob(repository, bytes, digest)).status, 201, 'there is room again')
})

t.test('what a client was told to be here waits for its manifest', async t => {
  const { client, store } = await startPushRegistry(t)
  const { bytes, digest } = blobOf('told')
  store.content.pins.holdFor(digest, 0)
  await store.content.writeBytes(digest, bytes)
  store.linkBlob(repository, { mediaType: 'application/octet-stream', digest, size: bytes.length })
  t.equal(store.content.pins.has(digest), false)
  await client.send('HEAD', `/v2/mecm/other/blobs/${digest}`)
  t.equal(store.content.pins.has(digest), false, 'nobody was told that it is there')
  t.equal((await client.send('HEAD', `/v2/${repository}/blobs/${digest}`)).status, 200)
  t.equal(store.content.pins.has(digest), true)
})

t.test('twenty clients push images that share layers, all at once', async t => {
  const { client, store } = await startPushRegistry(t)
  const shared = [
    { seed: 'base', bytes: 60_000 },
    { seed: 'runtime', bytes: 90_000 },
  ]
  const samples = Array.from({ length: 20 }, (_, at) =>
    image({ seed: `app-${at}`, layers: [...shared, { seed: `own-${at}`, bytes: 3000 }] }),
  )
  const results = await Promise.all(
    samples.map((sample, at) => client.pushSample(`mecm/app-${at % 5}`, sample, `v${at}`)),
  )
  t.same(
    results.flat().filter(status => status !== 201),
    [],
  )
  for (const [at, sample] of samples.entries()) {
    const pulled = await client.send('GET', `/v2/mecm/app-${at % 5}/manifests/v${at}`)
    t.ok(pulled.body.equals(sample.root.bytes))
  }
  const all = new Map(samples.flatMap(sample => [...sample.blobs]))
  let bytes = samples.reduce((sum, sample) => sum + sample.root.bytes.byteLength, 0)
  for (const blob of all.values()) bytes += blob.length
  t.equal(await store.usedBytes(), bytes, 'one copy of each')
})

t.test('what was pushed is counted when it is whole, and so is what came to nothing', async t => {
  const { client, server } = await startPushRegistry(t)
  const { traffic } = server
  const sample = image({ seed: 'counted', layers: [3000] })
  t.ok((await client.pushSample(repository, sample)).every(status => status === 201))
  const bytes = [...sample.blobs.values()].reduce((sum, blob) => sum + blob.length, sample.root.bytes.byteLength)
  t.same([traffic.pushes, traffic.failedPushes, traffic.pushedBytes], [1, 0, bytes])

  t.equal((await client.pushBlob(repository, Buffer.from('x'), digestOf(Buffer.from('y')))).status, 400)
  t.equal((await client.putManifest('mecm/other', sample.root, 'v1')).status, 404, 'its blobs are not there')
  t.equal((await client.send('DELETE', `/v2/${repository}/manifests/absent`)).status, 404)
  t.same([traffic.pushes, traffic.failedPushes, traffic.pushedBytes], [1, 2, bytes], 'a delete is no push')

  const whole = blobOf('at once', 700)
  const path = `/v2/${repository}/blobs/uploads/?digest=${whole.digest}`
  t.equal((await client.send('POST', path, { headers: octets, body: whole.bytes })).status, 201)
  t.equal(
    (await client.send('POST', `/v2/mecm/other/blobs/uploads/?mount=${whole.digest}&from=${repository}`)).status,
    201,
  )
  t.same([traffic.pushes, traffic.failedPushes, traffic.pushedBytes], [1, 2, bytes + 700], 'a mount moves no bytes')
})
