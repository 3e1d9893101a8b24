import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { startPair, unending } from '../fixtures/registry-client.ts'

const ociManifest = 'application/vnd.oci.image.manifest.v1+json'

t.test('a tag costs one HEAD', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  t.same(await registry.resolve('mecm/web', '1', unending), root)
  t.same(await registry.resolve('mecm/web', root.digest, unending), root)
  t.same(
    fake.requests.map(request => request.method),
    ['HEAD', 'HEAD'],
  )
})

t.test('HEAD that is refused or tells too little: GET, and the digest computed', async t => {
  for (const head of ['refuse', 'no-digest'] as const) {
    const { fake, registry } = await startPair(t, { head })
    const { root } = fake.putImage('mecm/web', '1', [Buffer.from('layer')])
    t.same(await registry.resolve('mecm/web', '1', unending), root)
    t.same(
      fake.requests.map(request => request.method),
      ['HEAD', 'GET'],
    )
  }
})

t.test("HEAD whose length is not the content's: GET", async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [])
  for (const set of [
    { 'content-length': '0' },
    { 'content-encoding': 'gzip' },
    { 'content-type': 'application/json' },
  ]) {
    fake.clearLog()
    fake.fault({ method: 'HEAD' }, { do: 'headers', set })
    t.same(await registry.resolve('mecm/web', '1', unending), root)
    t.same(
      fake.requests.map(request => request.method),
      ['HEAD', 'GET'],
    )
  }
})

t.test('bytes are kept as they are, with their digest of either algorithm', async t => {
  const { fake, registry } = await startPair(t)
  const odd = Buffer.from(
    `{ "schemaVersion":2,\n"config":{"mediaType":"a","digest":"${digestOf(Buffer.from(''))}","size":0}, "layers": [] }`,
  )
  const plain = fake.putManifest('mecm/web', odd, { tag: '1' })
  const long = fake.putManifest('mecm/web', odd, { algorithm: 'sha512' })
  for (const reference of ['1', plain.digest]) {
    t.same(await registry.fetchManifest('mecm/web', reference, unending), { descriptor: plain, bytes: odd })
  }
  t.same(await registry.fetchManifest('mecm/web', long.digest, unending), { descriptor: long, bytes: odd })
})

t.test('content that is not what was asked for', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  const told = { code: 'DIGEST_MISMATCH', side: 'upstream', host: fake.host, doing: /^fetch manifest/ }
  for (const reference of ['1', root.digest]) {
    fake.fault({ kind: 'manifest' }, { do: 'corrupt' })
    await t.rejects(registry.fetchManifest('mecm/web', reference, unending), told)
  }
  fake.fault({ kind: 'manifest' }, { do: 'body', body: '<html>log in' })
  await t.rejects(registry.fetchManifest('mecm/web', root.digest, unending), { ...told, message: /web page/ })
  const lie = { do: 'headers', set: { 'docker-content-digest': digestOf(Buffer.from('x')) } } as const
  fake.fault({ kind: 'manifest' }, lie, 2)
  await t.rejects(registry.resolve('mecm/web', root.digest, unending), { code: 'DIGEST_MISMATCH' })
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), told)
})

t.test('what is no manifest', async t => {
  const { fake, registry } = await startPair(t)
  const put = (body: string | object, mediaType: string) =>
    fake.putManifest('mecm/web', typeof body === 'string' ? Buffer.from(body) : body, { tag: '1', mediaType })
  put('<html></html>', 'text/html')
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), { code: 'MANIFEST_INVALID', host: fake.host })
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'MANIFEST_INVALID' })
  put('{', ociManifest)
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), { code: 'MANIFEST_INVALID' })
  put({ schemaVersion: 1, fsLayers: [] }, 'application/vnd.docker.distribution.manifest.v1+prettyjws')
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), { code: 'UNSUPPORTED', hint: /schema 2/ })
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNSUPPORTED' })
  put({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] }, ociManifest)
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), { code: 'MANIFEST_INVALID' })
})

t.test('too large and endless ones are cut', async t => {
  const { fake, registry } = await startPair(t)
  fake.putManifest('mecm/web', Buffer.alloc(5_000_000, ' '), { tag: 'large' })
  await t.rejects(registry.fetchManifest('mecm/web', 'large', unending), {
    code: 'MANIFEST_INVALID',
    message: /larger/,
  })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  fake.fault({ kind: 'manifest' }, { do: 'endless' })
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), { code: 'MANIFEST_INVALID', message: /larger/ })
  await fake.until(() => fake.requests.every(request => request.closed))
})

t.test('what is not there', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  await t.rejects(registry.resolve('mecm/web', '2', unending), { code: 'MANIFEST_UNKNOWN' })
  await t.rejects(registry.fetchManifest('mecm/web', '2', unending), { code: 'MANIFEST_UNKNOWN' })
  await t.rejects(registry.fetchManifest('mecm/db', '1', unending), { code: 'NAME_UNKNOWN' })
  t.equal(await registry.hasManifest('mecm/web', root.digest, unending), true)
  t.equal(await registry.hasManifest('mecm/web', digestOf(Buffer.from('x')), unending), false)
})
