/**
 * Collection of many blobs while nodes pull, and a policy's dry run over many images. 5,000 blobs and 1,000 tags by default; the figures
 * that are promised are measured with COLLECT_BLOBS=100000 (under 60 s) and DRY_RUN_PATHS=1000 (10 tags each, under 1 s).
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import t from 'tap'
import { request } from 'undici'
import { RegistryServer } from '../../src/http/registry/server.ts'
import { readImageCleanupPolicy } from '../../src/management/documents.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { rawManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { blobPath } from '../../src/store/layout.ts'
import { openCleanupSite, whenever } from '../fixtures/cleanup-site.ts'
import { image } from '../fixtures/images.ts'
import { openTestStore, putSample } from '../fixtures/open-store.ts'
import { silent } from '../fixtures/state-folder.ts'

const blobCount = Number(process.env.COLLECT_BLOBS ?? 5_000)
const paths = Number(process.env.DRY_RUN_PATHS ?? 100)
const blobsPerImage = 20

t.setTimeout(900_000)

t.test(`collects ${blobCount} blobs with pulls going on, none failing`, async t => {
  const clock = { now: Date.now() }
  const { store, root, state } = await openTestStore(t, { now: () => clock.now })
  const kept = image({ seed: 'kept', layers: [300_000, 200_000] })
  await putSample(store, 'mecm/kept', kept, '1')
  const gone = fill(root, state.db)
  const server = new RegistryServer({ store, listen: '127.0.0.1:0', logger: silent })
  await server.start()
  t.teardown(() => server.stop())
  clock.now += 2 * 3_600_000
  store.upkeep.removeTags(gone)
  const stop = new AbortController()
  const puller = pullAgain(server.address, kept.root.descriptor.digest, [...kept.blobs], stop.signal)
  const started = performance.now()
  const report = await store.upkeep.collect({ held: { manifests: new Map(), kept: new Set() }, signal: whenever })
  const seconds = (performance.now() - started) / 1000
  stop.abort()
  const { pulls, slowest } = await puller
  t.comment(
    `${report.files} files in ${seconds.toFixed(1)} s; ${pulls} pulls meanwhile, slowest request ${slowest.toFixed(0)} ms`,
  )
  t.equal(report.files, blobCount + gone.length)
  t.ok(seconds < 60 * Math.max(1, blobCount / 100_000))
  t.ok(pulls > 0)
})

t.test(`a dry run over ${paths} images of 10 tags`, async t => {
  const { root, state, policies } = await openCleanupSite(t)
  fill(root, state.db, { images: paths, tags: 10, files: false })
  policies.create(readImageCleanupPolicy({ metadata: { name: 'p' }, spec: { keepRecent: 3 } }), { who: 'anna' })
  const started = performance.now()
  const report = await policies.dryRun('default', 'p', whenever)
  const ms = performance.now() - started
  t.comment(`${report.items.length} images judged in ${ms.toFixed(0)} ms, ${report.bytesFreed} bytes to free`)
  t.equal(report.items.length, paths * 10)
  t.equal(report.items.filter(item => item.action === 'remove').length, paths * 7)
  t.ok(ms < 1000 * Math.max(1, paths / 1000))
})

/** Pulls the image over HTTP until it is told to stop. @throws when any request fails or brings other bytes. */
async function pullAgain(address: string, manifest: Digest, blobs: [Digest, Buffer][], signal: AbortSignal) {
  let pulls = 0
  let slowest = 0
  const get = async (path: string, digest: Digest) => {
    const started = performance.now()
    const { statusCode, body } = await request(`http://${address}/v2/mecm/kept/${path}`)
    const bytes = Buffer.from(await body.arrayBuffer())
    if (statusCode !== 200 || digestOf(bytes) !== digest) throw new Error(`${path}: ${statusCode}`)
    slowest = Math.max(slowest, performance.now() - started)
  }
  while (!signal.aborted) {
    await get('manifests/1', manifest)
    for (const [digest] of blobs) await get(`blobs/${digest}`, digest)
    pulls += 1
    await sleep(1)
  }
  return { pulls, slowest }
}

/** Many images, past the store's own doors where these would take minutes: rows in one transaction, files without sync. */
function fill(
  root: string,
  db: Database.Database,
  { images = Math.ceil(blobCount / blobsPerImage), tags = 1, files = true } = {},
) {
  const filled: { repository: string; tag: string; digest: Digest }[] = []
  const rows = {
    manifest: db.prepare(
      'INSERT INTO manifests (repository, digest, media_type, size, content_size, added_at, put_at) VALUES (?, ?, ?, ?, ?, 0, 0)',
    ),
    blob: db.prepare('INSERT INTO manifest_blobs (manifest, blob) VALUES (?, ?) ON CONFLICT DO NOTHING'),
    link: db.prepare(
      'INSERT INTO links (repository, digest, size, linked_at) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING',
    ),
    tag: db.prepare('INSERT INTO tags (repository, tag, digest, source, updated_at) VALUES (?, ?, ?, ?, ?)'),
  }
  const write = (digest: Digest, bytes: Uint8Array) => {
    if (files) writeFileSync(blobPath(root, digest), bytes)
  }
  let left = blobCount
  db.transaction(() => {
    for (let number = 0; number < images; number++) {
      const repository = `mecm/path-${number}`
      for (let version = 1; version <= tags; version++) {
        const count = files ? Math.min(blobsPerImage, left) : 8
        left -= count
        // Of several versions of one path, half of the layers are the same.
        const blobs = Array.from({ length: count }, (_, at) => {
          const bytes = Buffer.from(`${number}/${tags > 1 && at % 2 === 0 ? 'shared' : version}/${at}`)
          return { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.byteLength, bytes }
        })
        const layers = blobs.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }))
        const document = Buffer.from(
          JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: layers[0], layers }),
        )
        const { digest, size } = rawManifest(document, mediaTypes.ociManifest).descriptor
        write(digest, document)
        rows.manifest.run(repository, digest, mediaTypes.ociManifest, size, size)
        for (const blob of blobs) {
          write(blob.digest, blob.bytes)
          rows.blob.run(digest, blob.digest)
          rows.link.run(repository, blob.digest, blob.size)
        }
        rows.tag.run(repository, `${version}.0.0`, digest, 'test', version)
        filled.push({ repository, tag: `${version}.0.0`, digest })
      }
    }
  })()
  return filled
}
