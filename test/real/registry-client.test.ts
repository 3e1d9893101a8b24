/** The registry client against docker-registry: anonymous, htpasswd, TLS with a private CA, and signed tokens. */
import t, { type Test } from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Side } from '../../src/oci/errors.ts'
import { rawManifest } from '../../src/oci/manifest.ts'
import type { HostOptions } from '../../src/registry/connections.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { lacking } from '../fixtures/programs.ts'
import { makeCertificates, type RegistryOptions, startDockerRegistry } from '../fixtures/real-servers.ts'
import { fetchWhole, open, unending } from '../fixtures/registry-client.ts'
import { startTokenServer } from '../fixtures/token-server.ts'

const skip = lacking('docker-registry', 'htpasswd', 'openssl')
const login = { username: 'robot', password: 'p,a "s" s' }
const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const bytes = Buffer.alloc(3_000_000, 'some content ')

/** How to make clients of a docker-registry that ends with the test. */
async function start(
  t: Test,
  options: RegistryOptions = {},
): Promise<(how?: Partial<HostOptions>, side?: Side) => Registry> {
  const server = await startDockerRegistry(t.testdirName, options)
  t.teardown(() => server.stop())
  return (how = {}, side = 'upstream') => {
    const host = { host: server.host, plainHttp: options.tls === undefined, ...how }
    return open(t, { hosts: [host], side, stallTimeoutMs: 10_000 }).get(server.host)
  }
}

/** Pushes an image with its signature, and pulls both back: every method once. */
async function roundTrip(t: Test, registry: Registry): Promise<void> {
  const layer = await upload(registry, 'mecm/web', bytes)
  const config = await upload(registry, 'mecm/web', Buffer.from('{"os":"linux","architecture":"amd64"}'))
  const image = manifest({ config, layers: [layer] })
  await registry.putManifest('mecm/web', image, 'v1', unending)
  t.same(await registry.resolve('mecm/web', 'v1', unending), image.descriptor)
  t.match(await registry.fetchManifest('mecm/web', image.descriptor.digest, unending), { bytes: image.bytes })
  const rest = await fetchWhole(registry, 'mecm/web', layer, 1_234_567)
  t.equal(rest.offset, 1_234_567)
  t.ok(rest.bytes.equals(bytes.subarray(1_234_567)))

  t.equal(await registry.mountBlob('mecm/copy', layer.digest, 'mecm/web', unending), true)
  t.equal(await registry.hasBlob('mecm/copy', layer.digest, unending), true)
  t.equal(await registry.mountBlob('mecm/copy', digestOf(Buffer.from('absent')), 'mecm/web', unending), false)

  const signature = manifest({ config, layers: [], artifactType: 'a/signature', subject: image.descriptor })
  await registry.putManifest('mecm/web', signature, undefined, unending)
  const referrers = await registry.listReferrers('mecm/web', image.descriptor.digest, unending)
  t.match(referrers, [{ digest: signature.descriptor.digest, artifactType: 'a/signature' }])
  const tags: string[] = []
  for await (const tag of registry.listTags('mecm/web', unending)) tags.push(tag)
  t.ok(tags.includes('v1'))
}

async function upload(registry: Registry, repository: string, content: Buffer): Promise<Descriptor> {
  const blob = { mediaType: 'application/octet-stream', digest: digestOf(content), size: content.byteLength }
  const parts = async function* (offset: number) {
    for (let at = offset; at < content.byteLength; at += 100_000) yield content.subarray(at, at + 100_000)
  }
  await registry.uploadBlob(repository, blob, parts, unending)
  return blob
}

function manifest(document: object) {
  return rawManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document })), mediaType)
}

t.test('anonymous', { skip }, async t => {
  t.testdir()
  const registry = (await start(t))()
  await registry.ping(unending)
  await roundTrip(t, registry)
  await t.rejects(registry.resolve('mecm/web', 'absent', unending), { code: 'MANIFEST_UNKNOWN' })
  await t.rejects(registry.fetchManifest('mecm/absent', 'v1', unending), { code: /^(MANIFEST|NAME)_UNKNOWN$/ })
  const absent = { mediaType, digest: digestOf(Buffer.from('absent')), size: 6 }
  await t.rejects(fetchWhole(registry, 'mecm/web', absent), { code: 'BLOB_UNKNOWN' })
})

t.test('an external local registry refuses what is not complete, and can not remove a tag alone', { skip }, async t => {
  t.testdir()
  const registry = (await start(t))({}, 'local')
  const absent = { mediaType: 'application/octet-stream', digest: digestOf(Buffer.from('absent')), size: 6 }
  const incomplete = manifest({ config: absent, layers: [absent] })
  const put = registry.putManifest('mecm/web', incomplete, 'v1', unending)
  await t.rejects(put, { code: 'LOCAL_REFUSED', side: 'local' })
  const config = await upload(registry, 'mecm/web', Buffer.from('{}'))
  await registry.putManifest('mecm/web', manifest({ config, layers: [] }), 'v1', unending)
  await t.rejects(registry.deleteTag('mecm/web', 'v1', unending), { code: 'UNSUPPORTED', side: 'local' })
})

t.test('htpasswd', { skip }, async t => {
  t.testdir()
  const connect = await start(t, { login })
  await roundTrip(t, connect(login))
  for (const who of [{}, { username: 'robot', password: 'wrong' }]) {
    await t.rejects(connect(who).resolve('mecm/web', 'v1', unending), { code: 'UNAUTHORIZED' })
  }
})

t.test('TLS with a private CA', { skip }, async t => {
  const tls = await makeCertificates(`${t.testdir()}/certificates`)
  const connect = await start(t, { tls })
  await roundTrip(t, connect({ caFile: tls.caFile }))
  await connect({ insecureSkipVerify: true }).ping(unending)
  await t.rejects(connect().ping(unending), { code: 'TLS' })
})

t.test('signed tokens', { skip }, async t => {
  const certificates = await makeCertificates(`${t.testdir()}/certificates`)
  const tokens = await startTokenServer(certificates, { login })
  t.teardown(() => tokens.stop())
  const connect = await start(t, { token: tokens.registry })
  await roundTrip(t, connect(login))
  t.ok(tokens.issued.some(query => query.getAll('scope').includes('repository:mecm/web:pull,push')))
  t.ok(tokens.issued.length < 10, 'tokens are kept')
  await t.rejects(connect({ username: 'robot', password: 'wrong' }).ping(unending), { code: 'UNAUTHORIZED' })
})
