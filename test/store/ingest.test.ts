import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { type DigestAlgorithm, digestOf } from '../../src/oci/digest.ts'
import { Ingests } from '../../src/state/ingests.ts'
import { ContentStore } from '../../src/store/content.ts'
import { BlobIngest } from '../../src/store/ingest.ts'
import { blobPath, ingestPath } from '../../src/store/layout.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { cannotMount, mountSmallDisk } from '../fixtures/small-disk.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

function blobOf(content: Buffer, algorithm: DigestAlgorithm = 'sha256'): Descriptor {
  return { mediaType: 'application/octet-stream', digest: digestOf(content, algorithm), size: content.byteLength }
}

/** A store in a folder of the test; `again` is the same folder after a restart of the process (or the machine, with another `bootId`). */
async function openStore(t: Test, options: { root?: string; bootId?: string; syncBytes?: number } = {}) {
  const dir = t.testdir()
  const root = options.root ?? join(dir, 'registry')
  const state = openTestState(t, join(dir, 'state'))
  const ingests = new Ingests(state.db)
  const start = async (bootId: string) => {
    const store = new ContentStore({ root, ingests, logger: silent, bootId, syncBytes: options.syncBytes ?? 10_000 })
    await store.start()
    return store
  }
  return { root, ingests, store: await start(options.bootId ?? 'boot-1'), again: (bootId = 'boot-1') => start(bootId) }
}

async function writeInChunks(
  ingest: { offset: number; write(chunk: Uint8Array): Promise<void> },
  content: Buffer,
  chunk = 3000,
  end = content.byteLength,
) {
  while (ingest.offset < end) await ingest.write(content.subarray(ingest.offset, Math.min(end, ingest.offset + chunk)))
}

/** Bytes that this process has read, from whatever, since it began. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

function cannotCountReads(): string | false {
  return existsSync('/proc/self/io') ? false : 'reads /proc, which is on Linux only'
}

for (const algorithm of ['sha256', 'sha512'] as const) {
  t.test(`a ${algorithm} blob arrives in chunks, is verified and becomes visible`, async t => {
    const { store, root, ingests } = await openStore(t)
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
  const { store } = await openStore(t)
  const blob = blobOf(Buffer.alloc(0))
  const ingest = await store.openIngest(blob)
  await ingest.commit()
  await ingest.close()
  t.equal(await store.size(blob.digest), 0)
})

t.test('content that is not what its digest says is thrown away, and can come again', async t => {
  const { store, root, ingests } = await openStore(t)
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
  const { store } = await openStore(t)
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

t.test('an ingest that was closed goes on where it stopped', async t => {
  const { store, again } = await openStore(t)
  const content = seededBytes('closed', 50_000)
  const blob = blobOf(content)
  const first = await store.openIngest(blob)
  await writeInChunks(first, content, 3000, 30_000)
  await first.close()
  t.equal(await store.usedBytes(), 30_000)
  t.equal(store.arrived(blob), 30_000)
  for (const bootId of ['boot-1', 'boot-2']) {
    const next = await (await again(bootId)).openIngest(blob)
    t.equal(next.offset, 30_000, 'a close syncs: even a power loss takes nothing')
    await next.close()
  }
  const last = await store.openIngest(blob)
  await writeInChunks(last, content)
  await last.commit()
  t.equal(await store.size(blob.digest), 50_000)
})

t.test('without a reboot the length of the file counts, after one only what was recorded', async t => {
  const { store, root, ingests, again } = await openStore(t)
  const content = seededBytes('boot', 50_000)
  const blob = blobOf(content)
  const first = await store.openIngest(blob)
  await writeInChunks(first, content, 3000, 20_000)
  await first.close()
  // What a killed process had written without a sync:
  appendFileSync(ingestPath(root, blob.digest), content.subarray(20_000, 33_333))
  t.equal(ingests.find(blob.digest)?.synced, 20_000)
  t.equal((await again('boot-2')).arrived(blob), 20_000)
  const afterKill = await again('boot-1')
  t.equal(afterKill.arrived(blob), 33_333, 'known without a look into the file')
  const sameBoot = await afterKill.openIngest(blob)
  t.equal(sameBoot.offset, 33_333)
  await sameBoot.close()
  appendFileSync(ingestPath(root, blob.digest), Buffer.alloc(5000, 7))
  const nextBoot = await (await again('boot-2')).openIngest(blob)
  t.equal(nextBoot.offset, 33_333)
  t.equal(statSync(ingestPath(root, blob.digest)).size, 33_333, 'the rest was cut off')
  await nextBoot.close()
  appendFileSync(ingestPath(root, blob.digest), Buffer.alloc(5000, 7))
  const unknownBoot = await (await again('')).openIngest(blob)
  t.equal(unknownBoot.offset, 33_333, 'a boot that is not known counts as another one')
  await writeInChunks(unknownBoot, content)
  await unknownBoot.commit()
})

t.test('a file longer than the blob starts over', async t => {
  const { store, root, again } = await openStore(t)
  const content = seededBytes('long', 9000)
  const blob = blobOf(content)
  const first = await store.openIngest(blob)
  await writeInChunks(first, content, 3000, 6000)
  await first.close()
  appendFileSync(ingestPath(root, blob.digest), Buffer.alloc(9000))
  const next = await (await again()).openIngest(blob)
  t.equal(next.offset, 0)
  await writeInChunks(next, content)
  await next.commit()
})

t.test('kill -9 in the middle of a blob: no byte is written twice', async t => {
  const dir = t.testdir()
  const size = 24_000_000
  const digest = digestOf(seededBytes('killed', size))
  let reached = 0
  for (const killAt of [1_000_000, 5_000_000, 9_000_000, 17_000_000]) {
    const child = fillIngest(t, dir, size)
    for await (const line of child.lines) {
      const [event, offset] = line.split(' ')
      if (event === 'opened') t.equal(Number(offset), reached, 'everything that was on the disk counts')
      if (Number(offset) >= killAt) break
    }
    child.process.kill('SIGKILL')
    await once(child.process, 'exit')
    reached = statSync(ingestPath(join(dir, 'registry'), digest)).size
    t.ok(reached > 0 && reached < size)
  }
  const last = fillIngest(t, dir, size)
  const said: string[] = []
  for await (const line of last.lines) said.push(line)
  t.equal(said[0], `opened ${reached}`)
  t.equal(said.at(-1), 'committed')
})

t.test('one digest is written by one ingest at a time', async t => {
  const { store } = await openStore(t)
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
  const { store } = await openStore(t)
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
  const { store, root } = await openStore(t)
  const blob = blobOf(seededBytes('nothing', 1000))
  const ingest = await store.openIngest(blob)
  await ingest.close()
  t.same(store.ingests(), [])
  t.notOk(existsSync(ingestPath(root, blob.digest)))
})

t.test('a commit that could not move the file can be tried again', async t => {
  const { store, root } = await openStore(t)
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
  const { store, root } = await openStore(t)
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

t.test('what this process has written it does not read again', { skip: cannotCountReads() }, async t => {
  const { store, again } = await openStore(t)
  const content = seededBytes('cut often', 3_000_000)
  const blob = blobOf(content)
  const first = await store.openIngest(blob)
  await writeInChunks(first, content, 100_000, 2_000_000)
  await first.close()
  const before = bytesRead()
  const next = await store.openIngest(blob)
  t.ok(bytesRead() - before < 1_000_000, 'its hash was kept')
  t.equal(next.offset, 2_000_000)
  await next.close()
  const restarted = bytesRead()
  const last = await (await again()).openIngest(blob)
  t.ok(bytesRead() - restarted >= 2_000_000, 'after a restart it is made again')
  await writeInChunks(last, content, 100_000)
  await last.commit()
})

t.test('an abort while the prefix is hashed lets the ingest go', async t => {
  const { store: earlier, again } = await openStore(t)
  const content = seededBytes('aborted', 5000)
  const blob = blobOf(content)
  const first = await earlier.openIngest(blob)
  await first.write(content.subarray(0, 4000))
  await first.close()
  const store = await again()
  await t.rejects(store.openIngest(blob, AbortSignal.abort(new Error('stopping'))), { message: 'stopping' })
  const next = await store.openIngest(blob)
  t.equal(next.offset, 4000)
  await next.close()
})

t.test('on a full disk the ingest waits for room and goes on', { skip: cannotMount() }, async t => {
  const disk = mountSmallDisk(t, 4 * 1024 * 1024)
  const { store } = await openStore(t, { root: disk })
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
  const { store } = await openStore(t, { root: disk })
  const content = seededBytes('kept', 3_000_000)
  const blob = blobOf(content)
  const ingest = await store.openIngest(blob)
  await t.rejects(writeInChunks(ingest, content, 64_000), { code: 'NO_SPACE' })
  await ingest.close()
  const next = await store.openIngest(blob)
  t.ok(next.offset > 1_500_000 && next.offset <= 2 * 1024 * 1024)
  await next.discard()
})

t.test('a start puts right what a crash left between two steps', async t => {
  const { store, root, ingests, again } = await openStore(t)
  const content = seededBytes('crash', 4000)
  const finished = blobOf(content)
  const rowOnly = blobOf(seededBytes('row', 4000))
  const fileOnly = blobOf(seededBytes('file', 4000))
  const arriving = blobOf(seededBytes('arriving', 4000))
  // Renamed, but the row is still there.
  await store.writeBytes(finished.digest, content)
  ingests.open(finished.digest, { size: 4000, synced: 4000, bootId: 'boot-1' })
  // Recorded, but the file was not made or is gone.
  ingests.open(rowOnly.digest, { size: 4000, synced: 2000, bootId: 'boot-1' })
  // A file, but the database was lost.
  writeFileSync(ingestPath(root, fileOnly.digest), Buffer.alloc(2000))
  writeFileSync(join(root, 'ingest', 'tmp-left'), 'half a manifest')
  writeFileSync(join(root, 'ingest', 'notes.txt'), 'not ours')
  // One that can go on.
  ingests.open(arriving.digest, { size: 4000, synced: 1000, bootId: 'boot-1' })
  writeFileSync(ingestPath(root, arriving.digest), seededBytes('arriving', 4000).subarray(0, 1500))

  const next = await again()
  t.match(next.ingests(), [{ digest: arriving.digest, size: 4000, offset: 1500, synced: 1000, open: false }])
  t.equal(await next.size(finished.digest), 4000)
  t.notOk(existsSync(ingestPath(root, fileOnly.digest)))
  t.notOk(existsSync(join(root, 'ingest', 'tmp-left')))
  t.ok(existsSync(join(root, 'ingest', 'notes.txt')), 'what is not ours stays')
  t.equal(await next.usedBytes(), 5500)
  for (const [blob, offset] of [
    [rowOnly, 0],
    [fileOnly, 0],
    [arriving, 1500],
  ] as const) {
    const ingest = await next.openIngest(blob)
    t.equal(ingest.offset, offset)
    await ingest.discard()
  }
})

t.test('a small blob whose bytes come at once has no file before it is whole, and no row', async t => {
  const { store, root, ingests } = await openStore(t)
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

t.test('a file that no row tells of is not gone on from', async t => {
  const { store, root } = await openStore(t)
  const content = seededBytes('leftover', 5000)
  const blob = blobOf(content)
  writeFileSync(ingestPath(root, blob.digest), Buffer.alloc(9000, 1))
  const ingest = await store.openIngest(blob)
  t.equal(ingest.offset, 0)
  await writeInChunks(ingest, content)
  await ingest.commit()
  t.ok(readFileSync(blobPath(root, blob.digest)).equals(content))
})

t.test('a blob that a client pushes in the moment it is committed is counted once', async t => {
  const { store, root, ingests } = await openStore(t)
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
  const { store } = await openStore(t)
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

function fillIngest(t: Test, dir: string, size: number) {
  const script = join(import.meta.dirname, '../fixtures/fill-ingest.ts')
  const child = spawn(process.execPath, [script, dir, 'killed', String(size), '50000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return { process: child, lines: createInterface({ input: child.stdout }) }
}
