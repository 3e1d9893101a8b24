/** Real readers pull every kind of image from the embedded registry: skopeo, and containerd with the agent as its mirror. */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import t from 'tap'
import type { TlsFiles } from '../../src/http/listener.ts'
import { RegistryServer } from '../../src/http/registry/server.ts'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { Store } from '../../src/store/store.ts'
import { lackingContainerd, startContainerd } from '../fixtures/containerd.ts'
import { fillStore } from '../fixtures/fill-store.ts'
import { everyKind, type Sample } from '../fixtures/images.ts'
import { lacking } from '../fixtures/programs.ts'
import { makeCertificates } from '../fixtures/real-servers.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

const run = promisify(execFile)

/**
 * What today's readers do with a kind. Where one is left out, the limit is its own: neither takes sha512; skopeo takes no nested
 * index, and turns nothing into what its target can't say; containerd refuses empty blobs, unpacks no artifact, and fetches a
 * non-distributable layer from where its `urls` say.
 */
interface Reading {
  /** Copied with `--preserve-digests` into this kind of folder. */
  readonly copy?: 'oci' | 'dir'
  /** Copied into a docker-archive, which checks every layer against its diff id. */
  readonly archive?: true
  /** containerd: pulled and unpacked, or fetched only. */
  readonly ctr?: 'pull' | 'fetch'
}

const readings: Readonly<Record<string, Reading>> = {
  'oci image': { copy: 'oci', archive: true, ctr: 'pull' },
  'oci index': { copy: 'oci', archive: true, ctr: 'pull' },
  'nested index': { ctr: 'pull' },
  'docker image': { copy: 'dir', archive: true, ctr: 'pull' },
  'docker list': { copy: 'dir', archive: true, ctr: 'pull' },
  'buildkit index': { copy: 'oci', archive: true, ctr: 'pull' },
  artifact: { copy: 'oci', ctr: 'fetch' },
  'artifact with an empty blob': { copy: 'oci' },
  'signed image': { copy: 'oci', archive: true, ctr: 'pull' },
  'image with a cosign tag': { copy: 'oci', archive: true, ctr: 'pull' },
  'sha512 image': {},
  'empty layer': { copy: 'oci', archive: true, ctr: 'pull' },
  'layer twice': { copy: 'oci', archive: true, ctr: 'pull' },
  'zstd layers': { copy: 'oci', ctr: 'pull' },
  'plain layers': { copy: 'oci', archive: true, ctr: 'pull' },
  'non-distributable layer': { copy: 'oci' },
}

const kinds = Object.entries(everyKind()).map(([kind, sample], position) => {
  const reading = readings[kind]
  if (reading === undefined) throw new Error(`say in this test how "${kind}" is read`)
  return { kind, sample, reading, repository: `mecm/kind-${position}` }
})

/** An embedded registry that holds every kind; `dir` is the test's own folder. */
async function startRegistry(
  t: Test,
  makeTls?: (dir: string) => Promise<TlsFiles>,
): Promise<{ server: RegistryServer; dir: string }> {
  const dir = t.testdir({ state: {}, registry: {}, tls: {} })
  const store = new Store({ root: join(dir, 'registry'), state: openTestState(t, join(dir, 'state')), logger: silent })
  await store.start()
  const tls = makeTls ? { tls: await makeTls(join(dir, 'tls')) } : {}
  const server = new RegistryServer({ store, listen: '127.0.0.1:0', logger: silent, graceMs: 500, ...tls })
  await server.start()
  t.teardown(() => server.stop().then(() => store.stop()))
  for (const { repository, sample } of kinds) await fillStore(store, repository, 'v1', sample)
  return { server, dir }
}

async function skopeo(...args: readonly string[]): Promise<Buffer> {
  const platform = ['--override-arch', 'amd64', '--override-os', 'linux']
  const { stdout } = await run('skopeo', ['--insecure-policy', ...platform, ...args], {
    timeout: 60_000,
    encoding: 'buffer',
  })
  return stdout
}

/** Files by name below a folder, of every depth. */
async function filesIn(dir: string): Promise<Map<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  return new Map(entries.filter(entry => entry.isFile()).map(entry => [entry.name, join(entry.parentPath, entry.name)]))
}

t.test('skopeo takes every kind, byte for byte', { skip: lacking('skopeo') }, async t => {
  const { server, dir: target } = await startRegistry(t)
  for (const { kind, sample, reading, repository } of kinds) {
    const source = `docker://${server.address}/${repository}:v1`
    const raw = await skopeo('inspect', '--tls-verify=false', '--raw', source)
    t.equal(digestOf(raw, 'sha512'), digestOf(sample.root.bytes, 'sha512'), `${kind}: the manifest`)
    const byDigest = `docker://${server.address}/${repository}@${sample.root.descriptor.digest}`
    t.ok((await skopeo('inspect', '--tls-verify=false', '--raw', byDigest)).equals(raw), `${kind}: by digest`)
    if (reading.copy) {
      const dir = join(target, `copy-${repository.replace('/', '-')}`)
      const to = reading.copy === 'oci' ? `oci:${dir}:v1` : `dir:${dir}`
      await skopeo('copy', '--src-tls-verify=false', '--preserve-digests', '--all', source, to)
      await checkBlobs(t, kind, sample, dir)
    }
    if (reading.archive) {
      const file = join(target, `${repository.replace('/', '-')}.tar`)
      await skopeo('copy', '--src-tls-verify=false', source, `docker-archive:${file}:a/b:v1`)
      t.pass(`${kind}: its layers are what its config says`)
    }
  }
  const listed: unknown = JSON.parse(
    (await skopeo('list-tags', '--tls-verify=false', `docker://${server.address}/mecm/kind-0`)).toString(),
  )
  t.match(listed, { Tags: ['v1'] })
})

/** Every blob of the image itself is in the copy with the right content. A referrer's blobs are not: skopeo leaves those behind. */
async function checkBlobs(t: Test, kind: string, sample: Sample, dir: string): Promise<void> {
  const files = await filesIn(dir)
  let checked = 0
  for (const [digest, bytes] of sample.blobs) {
    const file = files.get(hexOf(digest))
    if (file === undefined) continue
    checked += 1
    t.ok((await readFile(file)).equals(bytes), `${kind}: blob ${digest.slice(0, 20)}`)
  }
  t.ok(checked > 0, `${kind}: has blobs`)
}

t.test('skopeo over https', { skip: lacking('skopeo', 'openssl') }, async t => {
  const { server, dir } = await startRegistry(t, async folder => {
    const certificates = await makeCertificates(folder)
    await mkdir(join(folder, 'trust'))
    await copyFile(certificates.caFile, join(folder, 'trust', 'ca.crt'))
    return certificates
  })
  const trust = join(dir, 'tls', 'trust')
  const raw = await skopeo('inspect', '--cert-dir', trust, '--raw', `docker://${server.address}/mecm/kind-0:v1`)
  t.ok(raw.equals(Buffer.from(kinds[0]?.sample.root.bytes ?? [])))
})

t.test('containerd pulls every kind with the agent as its mirror', { skip: lackingContainerd() }, async t => {
  const { server } = await startRegistry(t)
  const containerd = await startContainerd()
  t.teardown(() => containerd.stop())
  const registries = ['registry.mecm.example', 'docker.io']
  for (const registry of registries) await containerd.useMirror(registry, `http://${server.address}`)
  for (const [position, { kind, sample, reading, repository }] of kinds.entries()) {
    if (!reading.ctr) continue
    const reference = `${registries[position % 2]}/${repository}:v1`
    const hosts = ['--hosts-dir', containerd.hostsDir]
    const platform = ['--platform', 'linux/amd64']
    if (reading.ctr === 'pull') {
      await containerd.ctr('images', 'pull', ...hosts, ...platform, '--snapshotter', 'native', reference)
    } else {
      await containerd.ctr('content', 'fetch', ...hosts, '--all-platforms', reference)
    }
    const listed = await containerd.ctr('images', 'ls', `name==${reference}`)
    t.match(listed, sample.root.descriptor.digest, `${kind}: ${reading.ctr} as ${reference}`)
    t.match(listed, sample.root.descriptor.mediaType)
    const kept = await containerd.ctr('content', 'get', sample.root.descriptor.digest)
    t.equal(kept, Buffer.from(sample.root.bytes).toString(), `${kind}: the manifest as it was stored`)
  }
  t.ok(server.traffic.pulls > 0)
})
