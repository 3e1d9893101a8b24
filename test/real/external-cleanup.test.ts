/** A cleanup policy on docker-registry 2.8, which removes a tag only with its manifest, and every other tag on that with it. */
import t, { type Test } from 'tap'
import { Audit } from '../../src/access/audit.ts'
import { Cleanup } from '../../src/management/lifecycle/cleanup.ts'
import { ExternalShelf } from '../../src/management/lifecycle/external-shelf.ts'
import { type CleanupReport, Policies } from '../../src/management/lifecycle/policies.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { type RawManifest, rawManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { ImageNamespaceRows } from '../../src/state/cleanup-policies.ts'
import { ExternalTagRows } from '../../src/state/external-tags.ts'
import { UseRows } from '../../src/state/uses.ts'
import { Pins } from '../../src/store/pins.ts'
import { lacking } from '../fixtures/programs.ts'
import { startDockerRegistry } from '../fixtures/real-servers.ts'
import { open, unending } from '../fixtures/registry-client.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

const skip = lacking('docker-registry')
const repository = 'mecm/web'
const dayMs = 24 * 60 * 60_000

/** The registry with its images, and a policy that keeps nothing but what is excluded. */
async function openSite(t: Test, options: { readonly deletes: boolean; readonly keep: readonly string[] }) {
  const state = openTestState(t)
  const server = await startDockerRegistry(`${t.testdirName}/registry`, options)
  t.teardown(() => server.stop())
  const registry = open(t, { hosts: [{ host: server.host, plainHttp: true }], side: 'local' }).get(server.host)
  const images = await push(registry)
  const shelf = new ExternalShelf({
    registry,
    placements: { repositories: () => [repository] },
    tags: new ExternalTagRows(state.db),
    uses: new UseRows(state.db),
    staging: { ingests: () => [], dropIngest: async () => undefined, pins: new Pins() },
    stagingCollector: { collect: async () => ({ manifests: 0, links: 0, files: 0, bytes: 0 }) },
    ...{ logger: silent, now: Date.now },
  })
  const cleanup = new Cleanup({
    ...{ shelf, holds: () => [], namespaces: new ImageNamespaceRows(state.db), logger: silent },
    lookup: { findManifest: () => undefined, readManifest: async () => undefined, referrersOf: () => [] },
  })
  const audit = new Audit({ state, logger: silent })
  const policies = new Policies({ state, cleanup, audit, logger: silent, now: () => Date.now() + 2 * dayMs })
  t.teardown(() => policies.stop())
  const exclude = options.keep.map(tag => ({ name: repository, tag }))
  policies.create(
    {
      metadata: { name: 'all', namespace: 'default', annotations: {}, labels: {} },
      spec: { unusedDays: 1, exclude },
    },
    { who: 'anna' },
  )
  return { registry, images, policies }
}

/** `1`; `2` and `latest` on one manifest; `all` on an index that lists what `amd64` is on. */
async function push(registry: Registry) {
  const config = Buffer.from('{"os":"linux","architecture":"amd64"}')
  const blob = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(config),
    size: config.byteLength,
  }
  const bytes = async function* (offset: number) {
    yield config.subarray(offset)
  }
  await registry.uploadBlob(repository, blob, bytes, unending)
  const image = (name: string) => document(mediaTypes.ociManifest, { config: blob, layers: [], annotations: { name } })
  const images = { one: image('one'), two: image('two'), amd64: image('amd64') }
  const all = document(mediaTypes.ociIndex, { manifests: [images.amd64.descriptor] })
  const tags = { 1: images.one, 2: images.two, latest: images.two, amd64: images.amd64, all }
  for (const [tag, manifest] of Object.entries(tags)) await registry.putManifest(repository, manifest, tag, unending)
  return { ...images, all }
}

function document(mediaType: string, content: object): RawManifest {
  return rawManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content })), mediaType)
}

async function tagsOf(registry: Registry): Promise<string[]> {
  const tags: string[] = []
  for await (const tag of registry.listTags(repository, unending)) {
    const found = await registry.resolve(repository, tag, unending).catch(() => undefined)
    if (found) tags.push(tag)
  }
  return tags.sort()
}

/** `tag: reason` of what stays. */
function kept(report: CleanupReport): string[] {
  return report.items
    .filter(item => item.action === 'keep')
    .map(({ tag, reason }) => `${tag}: ${reason.replace(/127\.0\.0\.1:\d+/, 'HOST')}`)
    .sort()
}

t.test('with deletes on: what nobody else needs goes, a manifest that a kept tag needs stays', { skip }, async t => {
  const { registry, images, policies } = await openSite(t, { deletes: true, keep: ['latest', 'all'] })
  const dry = await policies.dryRun('default', 'all', unending)
  const going = dry.items.filter(item => item.action === 'remove').map(item => item.tag)
  t.same(going.sort(), ['1', '2', 'amd64'], 'what the registry refuses is known only once it is asked')
  const report = await policies.run('default', 'all', { who: 'anna' }, unending)
  t.same(kept(report), [
    '2: HOST removes a tag only with its manifest, and latest needs that',
    'all: the policy excludes it',
    'amd64: HOST removes a tag only with its manifest, and all needs that',
    'latest: the policy excludes it',
  ])
  t.same(await tagsOf(registry), ['2', 'all', 'amd64', 'latest'])
  await t.rejects(registry.fetchManifest(repository, images.one.descriptor.digest, unending), {
    code: 'MANIFEST_UNKNOWN',
  })
  await registry.fetchManifest(repository, images.amd64.descriptor.digest, unending)
  t.match(report.notes.join('\n'), /its own garbage collection/)
})

t.test(
  'with deletes on: tags of one manifest go together, and what an index lists after the index',
  { skip },
  async t => {
    const { registry, policies } = await openSite(t, { deletes: true, keep: ['1'] })
    const report = await policies.run('default', 'all', { who: 'anna' }, unending)
    t.same(kept(report), ['1: the policy excludes it'])
    t.same(await tagsOf(registry), ['1'])
  },
)

t.test('with deletes off: everything stays, and the report says for each image why', { skip }, async t => {
  const { registry, policies } = await openSite(t, { deletes: false, keep: ['all'] })
  const report = await policies.run('default', 'all', { who: 'anna' }, unending)
  t.equal(kept(report).length, 5)
  t.match(kept(report)[0], /^1: HOST does not allow removal .*: remove mecm\/web:1 there$/)
  t.same(await tagsOf(registry), ['1', '2', 'all', 'amd64', 'latest'])
  t.match(policies.get('default', 'all').status.lastRun, { removed: 0, bytesFreed: 0, by: 'anna' })
})
