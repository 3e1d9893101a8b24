import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { rawManifest } from '../../src/oci/manifest.ts'
import type { FakeRegistry } from '../fixtures/fake-registry.ts'
import { openSessions } from '../fixtures/fake-registry-writes.ts'
import { startPair, unending } from '../fixtures/registry-client.ts'

const mediaType = 'application/vnd.oci.image.manifest.v1+json'

function manifestIn(fake: FakeRegistry, more: object = {}) {
  const config = fake.putBlob('mecm/web', Buffer.from('{}'), 'application/vnd.oci.image.config.v1+json')
  return rawManifest(
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [], ...more })),
    mediaType,
  )
}

t.test('a mount that works, and one that leaves no session behind', async t => {
  for (const mounts of [true, false]) {
    const { fake, registry } = await startPair(t, { mounts })
    const blob = fake.putBlob('mecm/db', Buffer.from('blob'))
    t.equal(await registry.mountBlob('mecm/web', blob.digest, 'mecm/db', unending), mounts)
    t.equal(await registry.hasBlob('mecm/web', blob.digest, unending), mounts)
    t.equal(openSessions(fake), 0)
  }
})

t.test('a mount that is refused is no failure', async t => {
  const { fake, registry } = await startPair(t)
  for (const status of [403, 401, 404, 405]) {
    fake.fault({ kind: 'upload' }, { do: 'status', status })
    t.equal(await registry.mountBlob('mecm/web', digestOf(Buffer.from('x')), 'mecm/db', unending), false)
  }
  fake.fault({ kind: 'upload' }, { do: 'status', status: 503 })
  await t.rejects(registry.mountBlob('mecm/web', digestOf(Buffer.from('x')), 'mecm/db', unending), {
    code: 'UNAVAILABLE',
  })
})

t.test('a manifest by digest and by tag', async t => {
  const { fake, registry } = await startPair(t, {}, { side: 'local' })
  const manifest = manifestIn(fake)
  await registry.putManifest('mecm/web', manifest, undefined, unending)
  t.equal(await registry.hasManifest('mecm/web', manifest.descriptor.digest, unending), true)
  await registry.putManifest('mecm/web', manifest, 'v1', unending)
  t.same(await registry.resolve('mecm/web', 'v1', unending), manifest.descriptor)
})

t.test('what the local registry refuses is for its operator', async t => {
  const { fake, registry } = await startPair(t, {}, { side: 'local' })
  const config = { mediaType: 'a/b', digest: digestOf(Buffer.from('absent')), size: 6 }
  const incomplete = manifestIn(fake, { config })
  const told = { code: 'LOCAL_REFUSED', side: 'local', host: fake.host, message: /blob unknown/ }
  await t.rejects(registry.putManifest('mecm/web', incomplete, 'v1', unending), told)
  for (const [status, code] of [
    [400, 'MANIFEST_INVALID'],
    [400, undefined],
    [422, undefined],
  ] as const) {
    fake.fault({ kind: 'manifest' }, { do: 'status', status, ...(code === undefined ? {} : { code }) })
    await t.rejects(registry.putManifest('mecm/web', manifestIn(fake), 'v1', unending), { code: 'LOCAL_REFUSED' })
  }
  fake.fault({ kind: 'manifest' }, { do: 'status', status: 403 })
  const denied = { code: 'DENIED', hint: /registry\.external/ }
  await t.rejects(registry.putManifest('mecm/web', manifestIn(fake), 'v1', unending), denied)
  fake.fault({ kind: 'manifest' }, { do: 'status', status: 500 })
  await t.rejects(registry.putManifest('mecm/web', manifestIn(fake), 'v1', unending), {
    code: 'UNAVAILABLE',
    side: 'local',
  })
})

t.test('a registry that stores something else', async t => {
  const { fake, registry } = await startPair(t)
  fake.fault({ method: 'PUT' }, { do: 'headers', set: { 'docker-content-digest': digestOf(Buffer.from('x')) } })
  await t.rejects(registry.putManifest('mecm/web', manifestIn(fake), 'v1', unending), { code: 'DIGEST_MISMATCH' })
})

t.test('referrers stay findable: by the API, else by the tag, also when several come at once', async t => {
  for (const referrersApi of [true, false]) {
    const { fake, registry } = await startPair(t, { referrersApi })
    const image = manifestIn(fake)
    await registry.putManifest('mecm/web', image, 'v1', unending)
    const signatures = [1, 2, 3].map(i => manifestIn(fake, { subject: image.descriptor, artifactType: `sig/${i}` }))
    const put = () => Promise.all(signatures.map(one => registry.putManifest('mecm/web', one, undefined, unending)))
    await put()
    await put()
    const found = await registry.listReferrers('mecm/web', image.descriptor.digest, unending)
    t.same(found.map(one => one.artifactType).sort(), ['sig/1', 'sig/2', 'sig/3'])
    t.equal(fake.content.repository('mecm/web').tags.size, referrersApi ? 1 : 2)
  }
})

t.test('removing a tag', async t => {
  const { fake, registry } = await startPair(t)
  const { root } = fake.putImage('mecm/web', 'v1', [])
  await registry.deleteTag('mecm/web', 'v1', unending)
  await registry.deleteTag('mecm/web', 'v1', unending)
  t.equal(await registry.hasManifest('mecm/web', root.digest, unending), true)
  fake.fault({ method: 'DELETE' }, { do: 'status', status: 405, code: 'UNSUPPORTED' })
  await t.rejects(registry.deleteTag('mecm/web', 'v1', unending), { code: 'UNSUPPORTED' })
})
