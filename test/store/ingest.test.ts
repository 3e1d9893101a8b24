import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { BlobIngest } from '../../src/store/ingest.ts'
import { blobPath, ingestPath } from '../../src/store/layout.ts'
import { blobOf, openContentStore, writeInChunks } from '../fixtures/ingests.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { cannotMount, mountSmallDisk } from '../fixtures/small-disk.ts'

for (const algorithm of ['sha256', 'sha512'] as const) {
  t.test(`a ${algorithm} blob arrives in chunks, is verified and becomes visible`, async t => {
    const { store, root, ingests } = await openContentStore(t)
    const content = seededBytes('whole', 100_000)
    const blob = blobOf(content, algorithm)
    const ingest = await store.openIngest(blob)
    t.equal(ingest.offset, 0)
    await writeInChunks(ingest, content)
    t.equal(await store.size(blob.digest), undefined, 'not visible before the commit')
    await ingest.commit()
    await ingest.close()
    t.ok(readFileSync(blobPath(root, blob.digest)).equals(content))
    t.notOk(existsSync(ingestPath(root, blob.digest)))
    t.same(ingests.list(), [])
    t.equal(await store.usedBytes(), 100_000)
  })
}

t.test('an empty blob needs no bytes', async t => {
  const { store } = await openContentStore(t)
  const blob = blobOf(Buffer.alloc(0))
  const ingest = await store.openIngest(blob)
  await ingest.commit()
  await ingest.close()
  t.equal(await store.size(blob.digest), 0)
})

t.test('content that is not what its digest says is thrown away, and can come again', async t => {
  const { store, root, ingests } = await openContentStore(t)
  const content = seededBytes('right', 20_000)
  const blob = blobOf(content)
  const wrong = await store.openIngest(blob)
  await writeInChunks(wrong, Buffer.from(content).fill(1, 10, 11))
  await t.rejects(wrong.commit(), { code: 'DIGEST_MISMATCH' })
  await wrong.close()
  t.notOk(existsSync(ingestPath(root, blob.digest)))
  t.same(ingests.list(), [])
  const right = await store.openIngest(blob)
  t.equal(right.offset, 0)
  await writeInChunks(right, content)
  await right.commit()
  t.equal(await store.size(blob.digest), 20_000)
})

t.test('too many bytes are refused before any is taken; too few are refused by the commit', async t => {
  const { store } = await openContentStore(t)
  const content = seededBytes('sized', 5000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  await ingest.write(content.subarray(0, 4999))
  await t.rejects(ingest.write(Buffer.alloc(2)), { code: 'SIZE_MISMATCH' })
  t.equal(ingest.offset, 4999)
  await ingest.write(content.subarray(4999))
  await ingest.commit()
  const short = await store.openIngest(blobOf(seededBytes('short', 5000)))
  await short.write(Buffer.alloc(10))
  await t.rejects(short.commit(), { code: 'SIZE_MISMATCH' })
  t.same(store.ingests(), [])
})

t.test('one digest is written by one ingest at a time', async t => {
  const { store } = await openContentStore(t)
  const content = seededBytes('twice', 1000)
  const blob = blobOf(content)
  const [first, second] = await Promise.allSettled([store.openIngest(blob), store.openIngest(blob)])
  t.equal(first.status, 'fulfilled')
  t.match(second, { status: 'rejected', reason: { code: 'INTERNAL', message: /is open already/ } })
  await t.rejects(store.dropIngest(blob.digest), { code: 'INTERNAL' })
  if (first.status !== 'fulfilled') return
  await first.value.write(content)
  await first.value.commit()
  const late = await store.openIngest(blob)
  t.equal(late.offset, 1000, 'who comes after the commit has nothing left to fetch')
  await t.rejects(late.write(content), { code: 'SIZE_MISMATCH' })
  await late.commit()
  await late.close()
  t.equal(await store.usedBytes(), 1000)
})

t.test('after its end an ingest takes nothing more, and close is always safe', async t => {
  const { store } = await openContentStore(t)
  const content = seededBytes('ended', 1000)
  const ingest = await store.openIngest(blobOf(content))
  await ingest.write(content.subarray(0, 500))
  await ingest.discard()
  await ingest.discard()
  await ingest.close()
  await t.rejects(ingest.write(content), { code: 'INTERNAL' })
  await t.rejects(ingest.commit(), { code: 'INTERNAL' })
  t.equal(await store.usedBytes(), 0)
})

t.test('an ingest that got nothing leaves nothing', async t => {
  const { store, root } = await openContentStore(t)
  const blob = blobOf(seededBytes('nothing', 1000))
  const ingest = await store.openIngest(blob)
  await ingest.close()
  t.same(store.ingests(), [])
  t.notOk(existsSync(ingestPath(root, blob.digest)))
})

t.test('a commit that could not move the file can be tried again', async t => {
  const { store, root } = await openContentStore(t)
  const content = seededBytes('again', 4000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  await ingest.write(content)
  const folder = join(root, 'blobs', 'sha256')
  renameSync(folder, `${folder}-away`)
  await t.rejects(ingest.commit(), { code: 'INTERNAL', side: 'local' })
  renameSync(`${folder}-away`, folder)
  await ingest.commit()
  await ingest.close()
  t.equal(await store.size(blob.digest), 4000)
  t.equal(await store.usedBytes(), 4000)
})

t.test('an ingest can be read while it arrives, and be verified without being kept', async t => {
  const { store, root } = await openContentStore(t)
  const content = seededBytes('read', 600_000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  if (!(ingest instanceof BlobIngest)) return t.fail('nothing of it is here')
  // Beyond two of the file's buffers, the first of which is written when the third is begun.
  await writeInChunks(ingest, content, 50_000, 590_000)
  t.ok(ingest.written > 0 && ingest.written <= 590_000, `${ingest.written} bytes are in the file`)
  const part = Buffer.alloc(ingest.written)
  t.equal(await ingest.read(part, 0), part.byteLength)
  t.ok(part.equals(content.subarray(0, part.byteLength)))
  await writeInChunks(ingest, content)
  await ingest.verify()
  await ingest.verify()
  t.equal(ingest.written, 600_000)
  t.notOk(existsSync(blobPath(root, blob.digest)))
  await ingest.close()
  const later = await store.openIngest(blob)
  t.equal(later.offset, 600_000, 'what was verified and not kept is here to go on from')
  await later.commit()
  t.ok(readFileSync(blobPath(root, blob.digest)).equals(content))
})

t.test('a file that no row could be written for does not stay', async t => {
  const { store, root, ingests } = await openContentStore(t)
  const content = seededBytes('rowless', 600_000)
  const blob = blobOf(content)
  const { open } = ingests
  ingests.open = () => {
    throw new Error('database or disk is full')
  }
  const ingest = await store.openIngest(blob)
  await ingest.write(content.subarray(0, 2000))
  await t.rejects(writeInChunks(ingest, content), { code: 'INTERNAL' })
  t.ok(existsSync(ingestPath(root, blob.digest)))
  await ingest.close()
  t.notOk(existsSync(ingestPath(root, blob.digest)))
  t.equal(await store.usedBytes(), 0)
  t.equal(store.arrived(blob), 0)
  ingests.open = open.bind(ingests)
  const later = await store.openIngest(blob)
  t.equal(later.offset, 0)
  await later.close()
})

t.test('on a full disk the ingest waits for room and goes on', { skip: cannotMount() }, async t => {
  const disk = mountSmallDisk(t, 4 * 1024 * 1024)
  const { store } = await openContentStore(t, { root: disk })
  const content = seededBytes('disk', 3_000_000)
  const blob = blobOf(content)
  const filler = join(disk, 'filler')
  writeFileSync(filler, Buffer.alloc(2_000_000))
  const ingest = await store.openIngest(blob)
  await t.rejects(writeInChunks(ingest, content, 64_000), { code: 'NO_SPACE', side: 'local' })
  await t.rejects(writeInChunks(ingest, content, 64_000), { code: 'NO_SPACE' }, 'still full')
  writeFileSync(filler, '')
  t.ok(ingest.offset > 1_500_000)
  await writeInChunks(ingest, content, 64_000)
  await ingest.commit()
  t.equal(await store.size(blob.digest), 3_000_000)
  t.equal(await store.usedBytes(), 3_000_000)
})

t.test('on a full disk a close keeps what the disk took', { skip: cannotMount() }, async t => {
  const disk = mountSmallDisk(t, 2 * 1024 * 1024)
  const { store } = await openContentStore(t, { root: disk })
  const content = seededBytes('kept', 3_000_000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  await t.rejects(writeInChunks(ingest, content, 64_000), { code: 'NO_SPACE' })
  await ingest.close()
  const next = await store.openIngest(blob)
  t.ok(next.offset > 1_500_000 && next.offset <= 2 * 1024 * 1024)
  await next.discard()
})

t.test('a small blob whose bytes come at once has no file before it is whole, and no row', async t => {
  const { store, root, ingests } = await openContentStore(t)
  const content = seededBytes('small', 5000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  await ingest.write(content)
  t.notOk(existsSync(ingestPath(root, blob.digest)))
  const rows: unknown[] = []
  const { open } = ingests
  ingests.open = (...facts) => {
    rows.push(facts)
    open.apply(ingests, facts)
  }
  await ingest.commit()
  t.same(rows, [])
  t.equal(await store.size(blob.digest), 5000)
  t.notOk(existsSync(ingestPath(root, blob.digest)))
})

t.test('a blob that a client pushes in the moment it is committed is counted once', async t => {
  const { store, root, ingests } = await openContentStore(t)
  const record = ingests.record.bind(ingests)
  for (let turns = 0; turns < 20; turns++) {
    const content = seededBytes(`twice ${turns}`, 500)
    const blob = blobOf(content)
    const pushed = join(root, 'ingest', 'pushed')
    writeFileSync(pushed, content)
    const ingest = await store.openIngest(blob)
    await ingest.write(content.subarray(0, 100))
    await ingest.close()
    let adopted: Promise<void> | undefined
    const adopt = async () => {
      for (let turn = 0; turn < turns; turn++) await undefined
      await store.adopt(pushed, blob, () => undefined)
    }
    const again = await store.openIngest(blob)
    await again.write(content.subarray(100))
    // The last thing that a commit does before it looks whether the blob has come meanwhile
    ingests.record = (...facts) => {
      record(...facts)
      adopted = adopt()
    }
    await again.commit()
    ingests.record = record
    await adopted
    t.equal(await store.usedBytes(), 500 * (turns + 1), `${turns} turns after the sync`)
  }
})

t.test('an ingest that nobody wants can be dropped', async t => {
  const { store } = await openContentStore(t)
  const content = seededBytes('stale', 4000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  await ingest.write(content.subarray(0, 1500))
  await ingest.close()
  const again = await store.openIngest(blob)
  await again.write(content.subarray(1500, 2500))
  t.match(store.ingests(), [{ digest: blob.digest, offset: 2500, open: true }])
  await again.close()
  const [summary] = store.ingests()
  t.equal(summary?.open, false)
  t.ok(summary && summary.updatedAt >= summary.startedAt)
  await store.dropIngest(blob.digest)
  t.same(store.ingests(), [])
  t.equal(store.arrived(blob), 0)
  t.equal(await store.usedBytes(), 0)
})
