/** Real clients push every kind of image to the embedded registry: skopeo and containerd. What arrives is what was sent, byte for byte. */
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { RegistryServer } from '../../src/http/registry/server.ts'
import type { Store } from '../../src/store/store.ts'
import { lackingContainerd, startContainerd } from '../fixtures/containerd.ts'
import { fillStore } from '../fixtures/fill-store.ts'
import { everyKind, type Sample } from '../fixtures/images.ts'
import { lacking } from '../fixtures/programs.ts'
import { startPushRegistry } from '../fixtures/push-registry.ts'

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
