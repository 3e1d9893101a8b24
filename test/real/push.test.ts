/** Real clients push every kind of image to the embedded registry: skopeo and containerd. What arrives is what was sent, byte for byte. */
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Denials } from '../../src/access/denials.ts'
import { LoginLimit } from '../../src/access/login-limit.ts'
import { Passes } from '../../src/access/passes.ts'
import type { Role } from '../../src/access/roles.ts'
import { Logins } from '../../src/http/access/logins.ts'
import { RegistryGate } from '../../src/http/access/registry-access.ts'
import type { RegistryServer } from '../../src/http/registry/server.ts'
import type { Store } from '../../src/store/store.ts'
import { openAccess } from '../fixtures/access.ts'
import { lackingContainerd, startContainerd } from '../fixtures/containerd.ts'
import { fillStore } from '../fixtures/fill-store.ts'
import { everyKind, type Sample } from '../fixtures/images.ts'
import { lacking } from '../fixtures/programs.ts'
import { startPushRegistry } from '../fixtures/push-registry.ts'
import { silent } from '../fixtures/state-folder.ts'

const run = promisify(execFile)

/**
 * How today's clients carry a kind. Where one is left out, the limit is its own: neither takes sha512; skopeo takes no nested index
 * and turns nothing into what its folder can't say; containerd refuses empty blobs.
 */
interface Carrying {
  /** The kind of folder that skopeo pushes from. */
  readonly skopeo?: 'oci' | 'dir'
  readonly ctr?: true
}

const carryings: Readonly<Record<string, Carrying>> = {
  'oci image': { skopeo: 'oci', ctr: true },
  'oci index': { skopeo: 'oci', ctr: true },
  'nested index': { ctr: true },
  'docker image': { skopeo: 'dir', ctr: true },
  'docker list': { skopeo: 'dir', ctr: true },
  'buildkit index': { skopeo: 'oci', ctr: true },
  artifact: { skopeo: 'oci', ctr: true },
  'artifact with an empty blob': { skopeo: 'oci' },
  'signed image': { skopeo: 'oci', ctr: true },
  'image with a cosign tag': { skopeo: 'oci', ctr: true },
  'sha512 image': {},
  'empty layer': { skopeo: 'oci', ctr: true },
  'layer twice': { skopeo: 'oci', ctr: true },
  'zstd layers': { skopeo: 'oci', ctr: true },
  'plain layers': { skopeo: 'oci', ctr: true },
  'non-distributable layer': { skopeo: 'oci' },
}

const kinds = Object.entries(everyKind()).map(([kind, sample], position) => {
  const carrying = carryings[kind]
  if (carrying === undefined) throw new Error(`say in this test how "${kind}" is carried`)
  return { kind, sample, carrying, repository: `mecm/kind-${position}` }
})

async function skopeo(...args: readonly string[]): Promise<void> {
  await run('skopeo', ['--insecure-policy', ...args], { timeout: 60_000 })
}

/** A registry that clients push to, and another one that holds every kind for them to take. */
async function startBoth(t: Test) {
  const dir = t.testdir({ from: {}, to: {}, folders: {} })
  const target = await startPushRegistry(t, { dir: join(dir, 'to') })
  const source = await startPushRegistry(t, { dir: join(dir, 'from') })
  for (const { repository, sample } of kinds) await fillStore(source.store, repository, 'v1', sample)
  return { source: source.server, target, folders: join(dir, 'folders') }
}

/** Everything of the image's own tree is there, byte for byte. Referrers stay behind: neither client pushes those. */
async function checkArrived(t: Test, store: Store, repository: string, kind: string, sample: Sample): Promise<void> {
  const { digest, mediaType } = sample.root.descriptor
  t.match(store.findTag(repository, 'v1')?.descriptor, { digest, mediaType }, `${kind}: the tag`)
  const root = await store.readManifest(digest)
  t.ok(root && Buffer.from(root.bytes).equals(Buffer.from(sample.root.bytes)), `${kind}: the manifest`)
  let found = 0
  for (const [blob, bytes] of sample.blobs) {
    if (store.blobSize(repository, blob) === undefined) continue
    found += 1
    const stored = await store.content.readBytes(blob)
    t.ok(stored && Buffer.from(stored).equals(bytes), `${kind}: a blob`)
  }
  t.ok(found > 0, `${kind}: has blobs`)
}

t.test('skopeo pushes every kind, again without a byte, and deletes', { skip: lacking('skopeo') }, async t => {
  const { source, target, folders } = await startBoth(t)
  const { store, server, written } = target
  for (const { kind, sample, carrying, repository } of kinds) {
    if (carrying.skopeo === undefined) continue
    const folder = join(folders, repository.replace('/', '-'))
    await mkdir(folder)
    const local = carrying.skopeo === 'oci' ? `oci:${folder}:v1` : `dir:${folder}`
    const copy = ['copy', '--all', '--preserve-digests']
    await skopeo(...copy, '--src-tls-verify=false', `docker://${source.address}/${repository}:v1`, local)
    const to = `docker://${server.address}/${repository}:v1`
    await skopeo(...copy, '--dest-tls-verify=false', local, to)
    await checkArrived(t, store, repository, kind, sample)
    const used = await store.usedBytes()
    await skopeo(...copy, '--dest-tls-verify=false', local, to)
    t.equal(await store.usedBytes(), used, `${kind}: nothing twice`)
  }
  const [first] = kinds
  const image = `docker://${server.address}/${first?.repository}:v1`
  await skopeo('delete', '--tls-verify=false', image)
  t.equal(store.findTag(first?.repository ?? '', 'v1'), undefined)
  t.match(written.at(-1), { action: 'delete', object: 'manifest' })
  await t.rejects(skopeo('inspect', '--tls-verify=false', image))
})

t.test(
  'skopeo copies from registry to registry, mounting what the other repository has',
  { skip: lacking('skopeo') },
  async t => {
    const { source, target } = await startBoth(t)
    const flags = ['--all', '--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false']
    const at = (server: RegistryServer, repository: string) => `docker://${server.address}/${repository}:v1`
    await skopeo('copy', ...flags, at(source, 'mecm/kind-0'), at(target.server, 'mecm/kind-0'))
    const used = await target.store.usedBytes()
    await skopeo('copy', ...flags, at(target.server, 'mecm/kind-0'), at(target.server, 'mecm/copy'))
    t.equal(await target.store.usedBytes(), used, 'one copy of the same content')
    t.ok(target.store.findTag('mecm/copy', 'v1'))
  },
)

t.test(
  'skopeo compresses and converts while it pushes, so that it knows neither size nor digest before the end',
  { skip: lacking('skopeo') },
  async t => {
    const { source, target, folders } = await startBoth(t)
    const plain = kinds.find(({ kind }) => kind === 'plain layers')
    const from = `docker://${source.address}/${plain?.repository}:v1`
    const layerTypes = {
      oci: 'application/vnd.oci.image.layer.v1.tar+gzip',
      v2s2: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    }
    for (const [format, mediaType] of Object.entries(layerTypes)) {
      const to = `docker://${target.server.address}/mecm/${format}:v1`
      await skopeo('copy', '--format', format, '--src-tls-verify=false', '--dest-tls-verify=false', from, to)
      const digest = target.store.findTag(`mecm/${format}`, 'v1')?.descriptor.digest
      const manifest = digest && (await target.store.readManifest(digest))
      const { layers }: { layers: { mediaType: string }[] } = JSON.parse(Buffer.from(manifest?.bytes ?? []).toString())
      t.same(new Set(layers.map(layer => layer.mediaType)), new Set([mediaType]))
      // The archive checks every layer against the config's diff ids.
      await skopeo('copy', '--src-tls-verify=false', to, `docker-archive:${join(folders, format)}:a/b:v1`)
    }
  },
)

t.test('containerd pushes every kind', { skip: lackingContainerd() }, async t => {
  const { source, target } = await startBoth(t)
  const containerd = await startContainerd()
  t.teardown(() => containerd.stop())
  for (const { kind, sample, carrying, repository } of kinds) {
    if (!carrying.ctr) continue
    const reference = `${source.address}/${repository}:v1`
    await containerd.ctr('content', 'fetch', '--plain-http', '--all-platforms', reference)
    await containerd.ctr('images', 'push', '--plain-http', `${target.server.address}/${repository}:v1`, reference)
    await checkArrived(t, target.store, repository, kind, sample)
  }
  // A second push of the same content asks and finds everything.
  const reference = `${source.address}/mecm/kind-0:v1`
  const used = await target.store.usedBytes()
  await containerd.ctr('images', 'push', '--plain-http', `${target.server.address}/mecm/kind-0:v2`, reference)
  t.equal(await target.store.usedBytes(), used)
  t.equal(
    target.store.findTag('mecm/kind-0', 'v2')?.descriptor.digest,
    target.store.findTag('mecm/kind-0', 'v1')?.descriptor.digest,
  )
})

/** The registry with access control, and a token of each role. */
async function startGuarded(t: Test, anonymousPull: boolean) {
  const dir = t.testdir({ access: {}, registry: {}, folder: {} })
  const { audit, tokens } = openAccess(t, { dir: join(dir, 'access') })
  const logins = new Logins({ tokens, limit: new LoginLimit(), denials: new Denials({ audit, logger: silent }) })
  const gate = new RegistryGate({ logins, passes: new Passes({ tokens }), anonymousPull, push: true })
  const { authorize, issuePass } = gate
  const registry = await startPushRegistry(t, { dir: join(dir, 'registry'), authorize, issuePass })
  const tokenOf = (role: Role) =>
    tokens.create({ name: role, grants: [{ role, namespace: '*' }] }, { who: 'test' }).secret
  const secrets = {
    viewer: tokenOf('image-viewer'),
    operator: tokenOf('image-operator'),
    admin: tokenOf('image-admin'),
  }
  return { ...registry, secrets, folder: join(dir, 'folder') }
}

/** An image in a folder, for a client to push. */
async function prepareFolder(t: Test, folder: string): Promise<string> {
  const source = await startPushRegistry(t, { dir: join(folder, '..') })
  const sample = everyKind()['oci index']
  if (sample) await fillStore(source.store, 'mecm/app', 'v1', sample)
  const local = `oci:${join(folder, 'layout')}:v1`
  await skopeo('copy', '--all', '--src-tls-verify=false', `docker://${source.server.address}/mecm/app:v1`, local)
  return local
}

for (const anonymousPull of [true, false]) {
  const what = anonymousPull ? 'where anyone pulls' : 'where reading needs a token, too'
  t.test(`skopeo logs in with a token to push and delete, ${what}`, { skip: lacking('skopeo') }, async t => {
    const { server, secrets, folder, store, written } = await startGuarded(t, anonymousPull)
    const local = await prepareFolder(t, folder)
    const image = `docker://${server.address}/mecm/app:v1`
    const push = (...login: readonly string[]) =>
      skopeo('copy', '--all', '--dest-tls-verify=false', ...login, local, image)
    await t.rejects(push('--dest-no-creds'), 'without a token')
    await t.rejects(push('--dest-creds', 'ci:wrong'), 'with a wrong one')
    await t.rejects(push('--dest-creds', `ci:${secrets.viewer}`), 'without the right')
    t.equal(store.hasRepository('mecm/app'), false)
    await push('--dest-creds', `ci:${secrets.operator}`)
    t.ok(store.findTag('mecm/app', 'v1'))
    t.match(written.at(-1), { caller: 'image-operator', object: 'tag', reference: 'v1' })

    const inspect = (...login: readonly string[]) => skopeo('inspect', '--raw', '--tls-verify=false', ...login, image)
    if (anonymousPull) await inspect('--no-creds')
    else await t.rejects(inspect('--no-creds'))
    await inspect('--creds', `x:${secrets.viewer}`)

    const remove = (secret: string) => skopeo('delete', '--tls-verify=false', '--creds', `x:${secret}`, image)
    await t.rejects(remove(secrets.operator), 'the operator may not delete')
    await remove(secrets.admin)
    t.equal(store.findTag('mecm/app', 'v1'), undefined)
  })

  t.test(`containerd logs in with a token to push and pull, ${what}`, { skip: lackingContainerd() }, async t => {
    const { server, secrets, folder, store } = await startGuarded(t, anonymousPull)
    const containerd = await startContainerd()
    t.teardown(() => containerd.stop())
    const source = await startPushRegistry(t, { dir: folder })
    const sample = everyKind()['oci index']
    if (sample) await fillStore(source.store, 'mecm/app', 'v1', sample)
    const from = `${source.server.address}/mecm/app:v1`
    await containerd.ctr('content', 'fetch', '--plain-http', '--all-platforms', from)
    const to = `${server.address}/mecm/app:v1`
    const push = (...login: readonly string[]) => containerd.ctr('images', 'push', '--plain-http', ...login, to, from)
    await t.rejects(push(), 'without a token')
    await t.rejects(push('--user', `x:${secrets.viewer}`), 'without the right')
    await push('--user', `x:${secrets.operator}`)
    t.ok(store.findTag('mecm/app', 'v1'))
    const fetch = (...login: readonly string[]) =>
      containerd.ctr('content', 'fetch', '--plain-http', '--all-platforms', ...login, to)
    if (anonymousPull) await fetch()
    else await t.rejects(fetch(), 'pull without a token')
    await fetch('--user', `x:${secrets.viewer}`)
  })
}
