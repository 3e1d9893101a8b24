/** Where an ingest goes on: after a close, a kill, a reboot, a crash between two steps. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { blobPath, ingestPath } from '../../src/store/layout.ts'
import { failNextSync } from '../fixtures/failing-sync.ts'
import { blobOf, openContentStore, writeInChunks } from '../fixtures/ingests.ts'
import { seededBytes } from '../fixtures/layers.ts'

/** Bytes that this process has read, from whatever, since it began. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

function cannotCountReads(): string | false {
  return existsSync('/proc/self/io') ? false : 'reads /proc, which is on Linux only'
}

t.test('an ingest that was closed goes on where it stopped', async t => {
  const { store, again } = await openContentStore(t)
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
  const { store, root, ingests, again } = await openContentStore(t)
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
  const { store, root, again } = await openContentStore(t)
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

t.test('what this process has written it does not read again', { skip: cannotCountReads() }, async t => {
  const { store, again } = await openContentStore(t)
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
  const { store: earlier, again } = await openContentStore(t)
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

t.test('what an opening has cut is cut, though it is aborted then', async t => {
  const { store: earlier, root, again } = await openContentStore(t)
  const blob = blobOf(seededBytes('cut', 9000))
  const first = await earlier.openIngest(blob)
  await writeInChunks(first, seededBytes('cut', 9000), 1000, 4000)
  await first.close()
  appendFileSync(ingestPath(root, blob.digest), Buffer.alloc(3000))
  const store = await again('boot-2')
  t.equal(await store.usedBytes(), 7000)
  await t.rejects(store.openIngest(blob, AbortSignal.abort(new Error('stopping'))), { message: 'stopping' })
  t.equal(store.arrived(blob), 4000)
  t.equal(await store.usedBytes(), 4000)
})

/** A store with an ingest of a blob of 50,000 bytes, 30,000 of which an earlier opening has made safe. */
async function openWithSynced(t: Test, name: string) {
  const opened = await openContentStore(t)
  const content = seededBytes(name, 50_000)
  const blob = blobOf(content)
  const earlier = await opened.store.openIngest(blob)
  await writeInChunks(earlier, content, 3000, 30_000)
  await earlier.close()
  return { ...opened, content, blob, ingest: await opened.store.openIngest(blob) }
}

t.test('after a sync that failed, only what was synced before is gone on from', async t => {
  const { store, ingests, again, content, blob, ingest: second } = await openWithSynced(t, 'lost')
  await second.write(content.subarray(30_000))
  await failNextSync()
  await t.rejects(second.commit(), { message: /lost pages/ })
  await t.rejects(second.commit(), { message: /lost pages/ }, 'the disk tells it once, and that is enough')
  await second.close()
  t.equal(store.arrived(blob), 30_000)
  t.equal((await again()).arrived(blob), 30_000, 'in another process of the same boot, too')
  const third = await store.openIngest(blob)
  t.equal(third.offset, 30_000)
  await third.write(content.subarray(30_000))
  await third.commit()
  t.same(await store.readBytes(blob.digest), content)
  t.same(ingests.list(), [])
})

t.test('after a sync that failed and could not be noted, nothing is gone on from', async t => {
  const { store, ingests, again, content, blob, ingest: second } = await openWithSynced(t, 'lost, not noted')
  await second.write(content.subarray(30_000))
  const { open } = ingests
  ingests.open = () => {
    throw new Error('disk I/O error')
  }
  await failNextSync()
  await t.rejects(second.commit(), { message: /lost pages/ })
  await second.close()
  ingests.open = open
  t.equal(store.arrived(blob), 0)
  t.equal((await again()).arrived(blob), 0)
  const third = await store.openIngest(blob)
  t.equal(third.offset, 0)
  await writeInChunks(third, content)
  await third.commit()
  t.same(await store.readBytes(blob.digest), content)
})

t.test('a kill right after a sync that failed leaves only what was synced before', async t => {
  const { again, content, blob, ingest: second } = await openWithSynced(t, 'lost and killed')
  t.teardown(() => second.close())
  await second.write(content.subarray(30_000))
  await failNextSync()
  await t.rejects(second.commit(), { message: /lost pages/ })
  t.equal((await again()).arrived(blob), 30_000)
})

t.test('a small blob that the disk did not take comes again as a whole', async t => {
  const { store } = await openContentStore(t)
  const content = seededBytes('small and lost', 5000)
  const blob = blobOf(content)
  const first = await store.openIngest(blob)
  await first.write(content)
  await failNextSync()
  await t.rejects(first.commit(), { code: 'INTERNAL' })
  await first.close()
  t.equal(store.arrived(blob), 0)
  const next = await store.openIngest(blob)
  t.equal(next.offset, 0)
  await next.write(content)
  await next.commit()
})

t.test('a start puts right what a crash left between two steps', async t => {
  const { store, root, ingests, again } = await openContentStore(t)
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

t.test('a file that no row tells of is not gone on from', async t => {
  const { store, root } = await openContentStore(t)
  const content = seededBytes('leftover', 5000)
  const blob = blobOf(content)
  writeFileSync(ingestPath(root, blob.digest), Buffer.alloc(9000, 1))
  const ingest = await store.openIngest(blob)
  t.equal(ingest.offset, 0)
  await writeInChunks(ingest, content)
  await ingest.commit()
  t.ok(readFileSync(blobPath(root, blob.digest)).equals(content))
})

function fillIngest(t: Test, dir: string, size: number) {
  const script = join(import.meta.dirname, '../fixtures/fill-ingest.ts')
  const child = spawn(process.execPath, [script, dir, 'killed', String(size), '50000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  return { process: child, lines: createInterface({ input: child.stdout }) }
}
