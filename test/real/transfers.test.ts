/**
 * Whole transfers between docker-registries: from an open one into a guarded one as the external local registry, and from that as upstream
 * into the embedded registry. Every kind of image that docker-registry itself takes.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { HostOptions } from '../../src/registry/connections.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { everyKind, image, type Sample } from '../fixtures/images.ts'
import { lacking } from '../fixtures/programs.ts'
import { pushSample } from '../fixtures/push-sample.ts'
import { makeCertificates, type RegistryOptions, startDockerRegistry } from '../fixtures/real-servers.ts'
import { bring, offer, openSite, wish } from '../fixtures/site.ts'
import { startTokenServer } from '../fixtures/token-server.ts'

const skip = lacking('docker-registry', 'htpasswd', 'openssl')
const login = { username: 'robot$mecm', password: 'p,a "s" s' }

/** docker-registry 2.8 knows no sha512, and refuses a manifest whose foreign layers it does not hold. */
const { 'sha512 image': _unknown, 'non-distributable layer': _refused, ...kinds } = everyKind()
const samples: readonly [string, Sample][] = Object.entries(kinds).map(([kind, sample]) => [
  kind.replaceAll(' ', '-'),
  sample,
])

/** A docker-registry in a folder of its own, which ends with the test. */
async function start(t: Test, name: string, options: RegistryOptions = {}) {
  const dir = join(t.testdirName, name)
  mkdirSync(dir, { recursive: true })
  const server = await startDockerRegistry(dir, options)
  t.teardown(() => server.stop())
  return server
}

/** Brings every sample into the guarded registry, then from there into the embedded one. */
async function through(t: Test, options: RegistryOptions, access: Omit<HostOptions, 'host'>): Promise<void> {
  const origin = await start(t, 'origin')
  for (const [kind, sample] of samples) await pushSample(origin.url, `mecm/${kind}`, '1', sample)
  const guarded = await start(t, 'guarded', options)
  const host: HostOptions = { host: guarded.host, plainHttp: options.tls === undefined, ...access }

  await t.test('as the external local registry', async t => {
    const site = await openSite(t, { hosts: [{ host: origin.host, plainHttp: true }], external: host })
    for (const [kind, sample] of samples) {
      const image = await bring(site, wish(`${origin.host}/mecm/${kind}:1`))
      t.equal(image.root.digest, sample.root.descriptor.digest, kind)
    }
  })
  await t.test('as upstream', async t => {
    const site = await openSite(t, { hosts: [host] })
    for (const [kind, sample] of samples) {
      const image = await bring(site, wish(`${guarded.host}/mecm/${kind}:1`))
      t.equal(image.root.digest, sample.root.descriptor.digest, kind)
      t.ok(
        image.blobs.every(blob => site.store.blobSize(`mecm/${kind}`, blob.digest) === blob.size),
        `${kind}: its blobs`,
      )
    }
  })
}

t.test('open', { skip }, async t => {
  t.testdir()
  await through(t, {}, {})
})

t.test('htpasswd', { skip }, async t => {
  t.testdir()
  await through(t, { login }, login)
})

t.test('TLS with a private CA, and htpasswd', { skip }, async t => {
  const certificates = await makeCertificates(t.testdir())
  await through(t, { login, tls: certificates }, { ...login, caFile: certificates.caFile })
})

t.test('signed tokens', { skip }, async t => {
  const tokens = await startTokenServer(await makeCertificates(t.testdir()), { login })
  t.teardown(() => tokens.stop())
  await through(t, { token: tokens.registry }, login)
  t.ok(tokens.issued.length > 0)
})

t.test('layers that may not be copied: what a registry refuses with a 500 is refused', { skip }, async t => {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const layers = [{ seed: 'elsewhere', bytes: 800, urls: ['https://layers.example/base'] }, 1100]
  offer(upstream, 'mecm/web', '1', image({ layers }))
  const { host } = await start(t, 'refusing')
  const site = await openSite(t, { upstreams: [upstream], external: { host, plainHttp: true } })
  await t.rejects(bring(site, wish(`${upstream.host}/mecm/web:1`)), {
    code: 'LOCAL_REFUSED',
    message: /MANIFEST_BLOB_UNKNOWN/,
    hint: /urls\.allow/,
  })
})
