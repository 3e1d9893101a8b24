import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { rawManifest } from '../../src/oci/manifest.ts'
import { referrersTag, withReferrer } from '../../src/registry/referrers.ts'
import type { FakeRegistry } from '../fixtures/fake-registry.ts'
import { startPair, unending } from '../fixtures/registry-client.ts'

const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
const ociIndex = 'application/vnd.oci.image.index.v1+json'

function putReferrers(fake: FakeRegistry, count: number) {
  const { root, config } = fake.putImage('mecm/web', '1', [])
  const referrers = Array.from({ length: count }, (_, i) => {
    const document = {
      schemaVersion: 2,
      mediaType: ociManifest,
      artifactType: `a/${i}`,
      config,
      layers: [],
      subject: root,
    }
    return { ...fake.putManifest('mecm/web', document), artifactType: `a/${i}` }
  })
  return { root, referrers }
}

t.test('by the API, page by page', async t => {
  const { fake, registry } = await startPair(t, { pageSize: 2 })
  const { root, referrers } = putReferrers(fake, 5)
  t.same(await registry.listReferrers('mecm/web', root.digest, unending), referrers)
  t.equal(fake.count({ kind: 'referrers' }), 3)
  t.equal(fake.count(), 3)
})

t.test('none: an empty list, and no tag is asked for', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [])
  t.same(await registry.listReferrers('mecm/web', root.digest, unending), [])
  t.equal(fake.count(), 1)
})

t.test('by the tag schema, where there is no API', async t => {
  const { fake, registry } = await startPair(t, { referrersApi: false })
  const { root, referrers } = putReferrers(fake, 2)
  t.same(await registry.listReferrers('mecm/web', root.digest, unending), [], 'no tag, no referrers')
  const index = { schemaVersion: 2, mediaType: ociIndex, manifests: referrers }
  fake.putManifest('mecm/web', index, { tag: root.digest.replace(':', '-') })
  t.same(await registry.listReferrers('mecm/web', root.digest, unending), referrers)
})

t.test('a server that knows no such path is not asked for every manifest', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = putReferrers(fake, 1)
  const headers = { 'content-type': 'text/plain; charset=utf-8' }
  fake.fault({ kind: 'referrers' }, { do: 'status', status: 404, headers, body: '404 page not found' }, 9)
  for (let time = 1; time <= 3; time++) t.same(await registry.listReferrers('mecm/web', root.digest, unending), [])
  t.equal(fake.count({ kind: 'referrers' }), 1)
})

t.test("a repository's own 404 says nothing of the others", async t => {
  const { fake, registry } = await startPair(t, { referrersApi: false })
  const { root } = putReferrers(fake, 1)
  for (let time = 1; time <= 3; time++) await registry.listReferrers('mecm/web', root.digest, unending)
  t.equal(fake.count({ kind: 'referrers' }), 3)
})

t.test('a web page in place of the API means the tag schema', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [])
  fake.fault({ kind: 'referrers' }, { do: 'status', status: 200, body: '<html>' })
  t.same(await registry.listReferrers('mecm/web', root.digest, unending), [])
})

t.test('lists that are wrong', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', '1', [])
  fake.fault({ kind: 'referrers' }, { do: 'body', body: '{"manifests": 1}' })
  await t.rejects(registry.listReferrers('mecm/web', root.digest, unending), { code: 'MANIFEST_INVALID' })
  fake.fault({ kind: 'referrers' }, { do: 'headers', set: { link: '<https://evil.example/v2/>; rel="next"' } })
  await t.rejects(registry.listReferrers('mecm/web', root.digest, unending), { code: 'REDIRECT' })
  const path = `/v2/mecm/web/referrers/${root.digest}`
  fake.fault({ kind: 'referrers' }, { do: 'headers', set: { link: `<${path}>; rel="next"` } }, Infinity)
  await t.rejects(registry.listReferrers('mecm/web', root.digest, unending), { code: 'REDIRECT', message: /itself/ })
  fake.clearFaults()
  fake.fault({ kind: 'referrers' }, { do: 'status', status: 403, code: 'DENIED' })
  await t.rejects(registry.listReferrers('mecm/web', root.digest, unending), { code: 'DENIED' })
})

t.test('the tag of the schema', async t => {
  const long = digestOf(Buffer.from('x'), 'sha512')
  t.equal(referrersTag(long), `sha512-${long.slice(7, 71)}`)
  const referrer = { mediaType: ociManifest, digest: digestOf(Buffer.from('x')), size: 1 }
  const once = withReferrer(undefined, referrer)
  t.match(JSON.parse(Buffer.from(once?.bytes ?? []).toString()), { mediaType: ociIndex, manifests: [referrer] })
  t.equal(withReferrer(once, referrer), undefined, 'in there already')
  const image = rawManifest(
    Buffer.from(JSON.stringify({ schemaVersion: 2, config: referrer, layers: [] })),
    ociManifest,
  )
  t.throws(() => withReferrer(image, referrer), { code: 'MANIFEST_INVALID' })
})
