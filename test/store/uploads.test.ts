import { createHash } from 'node:crypto'
import { appendFile, readdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { UploadError } from '../../src/store/upload-error.ts'
import { failNextSync } from '../fixtures/failing-sync.ts'
import { openTestStore } from '../fixtures/open-store.ts'
import { cannotMount, mountSmallDisk } from '../fixtures/small-disk.ts'

const repository = 'mecm/web'
const mebibyte = 1024 * 1024

function bytesOf(size: number, seed = 'upload'): Buffer {
  const start = createHash('sha256').update(seed).digest()
  return Buffer.alloc(size, start)
}

/** A request body of these parts. */
function body(...parts: readonly Buffer[]): Readable {
  return Readable.from(parts, { objectMode: false })
}

/** A body that sends `first` and then nothing, until it is broken. */
function stalledBody(first: Buffer) {
  const started = Promise.withResolvers<void>()
  const stream = new Readable({
    read() {
      started.resolve()
    },
  })
  stream.push(first)
  return { stream, started: started.promise }
}

async function filesLeft(root: string): Promise<string[]> {
  return await readdir(join(root, 'ingest'))
}

async function rejectsWith(t: Test, code: string, work: Promise<unknown>): Promise<void> {
  await t.rejects(work, { code })
}

t.test('bytes come in parts and become a blob of the repository', async t => {
  const { store, root } = await openTestStore(t, { syncBytes: 100_000 })
  const { uploads } = store
  const content = bytesOf(mebibyte)
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const { id, offset } = uploads.create(repository)
    t.equal(offset, 0)
    for (let at = 0; at < content.length; at += 300_000) {
      const part = content.subarray(at, at + 300_000)
      const status = await uploads.append(repository, id, body(part), { start: at, length: part.length })
      t.equal(status.offset, at + part.length)
      t.equal(uploads.bytes, status.offset)
      t.equal(await store.usedBytes(), (await store.content.usedBytes()) + status.offset)
    }
    const digest = digestOf(content, algorithm)
    t.equal(store.blobSize(repository, digest), undefined)
    t.equal(await uploads.finish(repository, id, digest), mebibyte)
    t.equal(store.blobSize(repository, digest), mebibyte)
    t.equal(await store.content.size(digest), mebibyte)
    t.equal(uploads.find(repository, id), undefined)
  }
  t.same(await filesLeft(root), [])
  t.equal(uploads.bytes, 0)
  t.equal(await store.usedBytes(), 2 * mebibyte)
})

t.test('what is pushed twice is stored and counted once', async t => {
  const { store } = await openTestStore(t)
  const content = bytesOf(5000)
  const digest = digestOf(content)
  const finish = async (name: string) => {
    const { id } = store.uploads.create(name)
    await store.uploads.append(name, id, body(content))
    await store.uploads.finish(name, id, digest)
  }
  await Promise.all(['a', 'b', 'c'].map(finish))
  t.equal(await store.usedBytes(), 5000)
  for (const name of ['a', 'b', 'c']) t.equal(store.blobSize(name, digest), 5000)
})

t.test('a session belongs to one repository', async t => {
  const { uploads } = (await openTestStore(t)).store
  const { id } = uploads.create(repository)
  t.equal(uploads.find('other', id), undefined)
  await rejectsWith(t, 'UNKNOWN', uploads.append('other', id, body(bytesOf(10))))
  await rejectsWith(t, 'UNKNOWN', uploads.cancel('other', id))
  t.ok(uploads.find(repository, id))
})

t.test('wrong use leaves the session as it was', async t => {
  const { uploads } = (await openTestStore(t)).store
  const { id } = uploads.create(repository)
  await uploads.append(repository, id, body(bytesOf(100)))
  await rejectsWith(t, 'OUT_OF_ORDER', uploads.append(repository, id, body(bytesOf(10)), { start: 50, length: 10 }))
  await rejectsWith(t, 'OUT_OF_ORDER', uploads.append(repository, id, body(bytesOf(10)), { start: 101, length: 10 }))
  await rejectsWith(t, 'LENGTH', uploads.append(repository, id, body(bytesOf(20)), { start: 100, length: 10 }))
  t.equal(uploads.find(repository, id)?.offset, 100, 'too much: nothing of that chunk')
  await rejectsWith(t, 'LENGTH', uploads.append(repository, id, body(bytesOf(20)), { start: 100, length: 30 }))
  t.equal(uploads.find(repository, id)?.offset, 120, 'too little: what came')
})

t.test('other bytes than the digest says end the session', async t => {
  const { store, root } = await openTestStore(t)
  const { id } = store.uploads.create(repository)
  await store.uploads.append(repository, id, body(bytesOf(100)))
  await rejectsWith(t, 'DIGEST_MISMATCH', store.uploads.finish(repository, id, digestOf(bytesOf(99))))
  t.equal(store.uploads.find(repository, id), undefined)
  t.same(await filesLeft(root), [])
  t.equal(store.hasRepository(repository), false)
})

t.test('number and size are bounded', async t => {
  const { uploads } = (await openTestStore(t, { uploads: { maxSessions: 2, maxBytes: 1000 } })).store
  const { id } = uploads.create(repository)
  uploads.create(repository)
  t.throws(() => uploads.create(repository), { name: UploadError.name, code: 'TOO_MANY' })
  await rejectsWith(t, 'TOO_LARGE', uploads.append(repository, id, body(bytesOf(10)), { length: 1001 }))
  await rejectsWith(t, 'TOO_LARGE', uploads.append(repository, id, body(bytesOf(900), bytesOf(101))))
  t.equal(uploads.find(repository, id)?.offset, 900)
  await uploads.cancel(repository, id)
  t.ok(uploads.create(repository), 'there is room again')
})

t.test('an upload goes on after a kill, and after a power loss from what was synced', async t => {
  const content = bytesOf(mebibyte)
  const digest = digestOf(content)
  for (const [what, bootId, offset] of [
    ['kill', 'boot-1', 700_000],
    ['power loss', 'boot-2', 600_000],
  ] as const) {
    const dir = t.testdir()
    const first = await openTestStore(t, { dir, bootId: 'boot-1' })
    const { id } = first.store.uploads.create(repository)
    await first.store.uploads.append(repository, id, body(content.subarray(0, 600_000)))
    await first.stop()
    // Bytes that were written and never synced: the process died in the middle.
    await appendFile(join(first.root, 'ingest', `upload-${id}`), content.subarray(600_000, 700_000))
    await writeFile(join(first.root, 'ingest', 'upload-00000000-0000-4000-8000-000000000000'), 'nobody knows this one')

    const second = await openTestStore(t, { dir, bootId })
    const { uploads } = second.store
    t.equal(uploads.find(repository, id)?.offset, offset, what)
    t.same(await filesLeft(second.root), [`upload-${id}`], 'files of no session are gone')
    t.equal(uploads.bytes, offset)
    await uploads.append(repository, id, body(content.subarray(offset)), { start: offset })
    await uploads.finish(repository, id, digest)
    t.equal(second.store.blobSize(repository, digest), mebibyte)
    await second.stop()
  }
})

t.test('a file that was spoilt while nobody looked is found out by the digest', async t => {
  const dir = t.testdir()
  const first = await openTestStore(t, { dir })
  const { id } = first.store.uploads.create(repository)
  await first.store.uploads.append(repository, id, body(bytesOf(1000)))
  await first.stop()
  await truncate(join(first.root, 'ingest', `upload-${id}`), 500)
  const { store } = await openTestStore(t, { dir })
  t.equal(store.uploads.find(repository, id)?.offset, 500)
  await rejectsWith(t, 'DIGEST_MISMATCH', store.uploads.finish(repository, id, digestOf(bytesOf(1000))))
})

t.test('sessions that nobody uses are removed at the start', async t => {
  const dir = t.testdir()
  let now = 1_000_000
  const options = { dir, now: () => now, uploads: { maxIdleMs: 1000 } }
  const first = await openTestStore(t, options)
  const { id: old } = first.store.uploads.create(repository)
  await first.store.uploads.append(repository, old, body(bytesOf(10)))
  now += 600
  const { id: young } = first.store.uploads.create(repository)
  await first.stop()
  now += 600
  const { store, root } = await openTestStore(t, options)
  t.equal(store.uploads.find(repository, old), undefined)
  t.ok(store.uploads.find(repository, young))
  t.same(await filesLeft(root), [])
})

t.test('where there are too many, sessions that never got a byte make room after ten minutes', async t => {
  let now = 1_000_000
  const { store } = await openTestStore(t, { now: () => now, uploads: { maxSessions: 3 } })
  const { uploads } = store
  const { id: used } = uploads.create(repository)
  await uploads.append(repository, used, body(bytesOf(10)))
  const { id: unused } = uploads.create(repository)
  now += 1
  const { id: younger } = uploads.create(repository)
  now += 599_998
  t.throws(() => uploads.create(repository), { code: 'TOO_MANY' })
  now += 1
  const { id: next } = uploads.create(repository)
  t.equal(uploads.find(repository, unused), undefined)
  for (const id of [used, younger, next]) t.ok(uploads.find(repository, id))
  t.throws(() => uploads.create(repository), { code: 'TOO_MANY' })
})

t.test('a later request takes over from one that hangs, and goes on after what came', async t => {
  const { uploads } = (await openTestStore(t)).store
  const content = bytesOf(3000)
  const { id } = uploads.create(repository)
  const hanging = stalledBody(content.subarray(0, 1000))
  const lost = t.rejects(uploads.append(repository, id, hanging.stream), { name: 'AbortError' })
  await hanging.started
  await waitFor(() => uploads.find(repository, id)?.offset === 1000)
  await rejectsWith(t, 'OUT_OF_ORDER', uploads.append(repository, id, body(content), { start: 2000 }))
  t.notOk(hanging.stream.destroyed, 'a chunk that could not be next interrupts nobody')
  const status = await uploads.append(repository, id, body(content.subarray(1000)), { start: 1000, length: 2000 })
  t.equal(status.offset, 3000)
  await lost
  t.ok(hanging.stream.destroyed)
  await uploads.finish(repository, id, digestOf(content))
})

t.test('a body that breaks keeps what came, and so does a stop', async t => {
  const dir = t.testdir()
  const { store, stop } = await openTestStore(t, { dir })
  const { uploads } = store
  const content = bytesOf(5000)
  const { id } = uploads.create(repository)
  const breaking = stalledBody(content.subarray(0, 1000))
  const broken = t.rejects(uploads.append(repository, id, breaking.stream), { message: 'aborted' })
  await waitFor(() => uploads.find(repository, id)?.offset === 1000)
  breaking.stream.destroy(new Error('aborted'))
  await broken
  t.equal(uploads.find(repository, id)?.offset, 1000)

  const hanging = stalledBody(content.subarray(1000, 4000))
  const interrupted = t.rejects(uploads.append(repository, id, hanging.stream), { name: 'AbortError' })
  await waitFor(() => uploads.find(repository, id)?.offset === 4000)
  await stop()
  await interrupted
  const again = await openTestStore(t, { dir })
  t.equal(again.store.uploads.find(repository, id)?.offset, 4000)
  await again.store.uploads.append(repository, id, body(content.subarray(4000)), { start: 4000 })
  await again.store.uploads.finish(repository, id, digestOf(content))
})

t.test('cancel ends a request that is under way', async t => {
  const { store, root } = await openTestStore(t)
  const { id } = store.uploads.create(repository)
  const hanging = stalledBody(bytesOf(1000))
  const lost = t.rejects(store.uploads.append(repository, id, hanging.stream))
  await waitFor(() => store.uploads.find(repository, id)?.offset === 1000)
  await store.uploads.cancel(repository, id)
  await lost
  t.same(await filesLeft(root), [])
  await rejectsWith(t, 'UNKNOWN', store.uploads.cancel(repository, id))
})

t.test('a full disk stops the request, the session keeps what fitted', { skip: cannotMount() }, async t => {
  const root = mountSmallDisk(t, 2 * mebibyte)
  const { store } = await openTestStore(t, { root })
  const { uploads } = store
  const content = bytesOf(4 * mebibyte)
  const { id } = uploads.create(repository)
  const said = { start: 0, length: content.length }
  await rejectsWith(t, 'NO_SPACE', uploads.append(repository, id, body(content), said))
  t.equal(uploads.find(repository, id)?.offset, 0, 'a length that is told is refused at once')
  const pieces = Array.from({ length: 64 }, (_, at) => content.subarray(at * 65_536, (at + 1) * 65_536))
  await rejectsWith(t, 'NO_SPACE', uploads.append(repository, id, body(...pieces)))
  const { offset = 0 } = uploads.find(repository, id) ?? {}
  t.ok(offset > mebibyte && offset < 2 * mebibyte, `${offset}`)
  t.equal(offset, await uploads.finish(repository, id, digestOf(content.subarray(0, offset))), 'what fitted is intact')
})

/** Waits for something that another task of this process brings about. */
async function waitFor(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error('it did not come about within 5 s')
}

/** A store in this folder, with an upload of which 4,000 of 9,000 bytes were taken. */
async function openWithUpload(t: Test) {
  const dir = t.testdir()
  const first = await openTestStore(t, { dir, bootId: 'boot-1' })
  const content = bytesOf(9000)
  const { id } = first.store.uploads.create(repository)
  await first.store.uploads.append(repository, id, body(content.subarray(0, 4000)))
  return { dir, first, content, id }
}

t.test('after a sync that failed, only what was synced before counts', async t => {
  const { dir, first, content, id } = await openWithUpload(t)
  await failNextSync('ENOSPC')
  await rejectsWith(t, 'NO_SPACE', first.store.uploads.append(repository, id, body(content.subarray(4000))))
  t.equal(first.store.uploads.find(repository, id)?.offset, 4000, 'though the disk said that it was full, and no more')
  await first.stop()
  const { store } = await openTestStore(t, { dir, bootId: 'boot-1' })
  t.equal(store.uploads.find(repository, id)?.offset, 4000)
  await store.uploads.finish(repository, id, digestOf(content.subarray(0, 4000)))
  t.equal((await store.content.readBytes(digestOf(content.subarray(0, 4000))))?.byteLength, 4000, 'and nothing beyond')
})

t.test('a sync that fails at the end of an upload', async t => {
  const { dir, first, content, id } = await openWithUpload(t)
  await first.stop()
  // What a killed process had written without a sync:
  await appendFile(join(first.root, 'ingest', `upload-${id}`), content.subarray(4000))
  const { store } = await openTestStore(t, { dir, bootId: 'boot-1' })
  t.equal(store.uploads.find(repository, id)?.offset, 9000)
  await failNextSync()
  await t.rejects(store.uploads.finish(repository, id, digestOf(content)))
  t.equal(store.uploads.find(repository, id)?.offset, 4000)
  await store.uploads.append(repository, id, body(content.subarray(4000)))
  t.equal(await store.uploads.finish(repository, id, digestOf(content)), 9000)
})

t.test('after a sync that failed and could not be noted, the upload starts over', async t => {
  const { dir, first, content, id } = await openWithUpload(t)
  first.state.db.exec(
    `CREATE TEMP TRIGGER fault BEFORE UPDATE ON main.uploads WHEN new.boot_id IS NULL
     BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END`,
  )
  await failNextSync()
  await t.rejects(first.store.uploads.append(repository, id, body(content.subarray(4000))), { message: /lost pages/ })
  t.equal(first.store.uploads.find(repository, id)?.offset, 0)
  await first.stop()
  const { store } = await openTestStore(t, { dir, bootId: 'boot-1' })
  t.equal(store.uploads.find(repository, id)?.offset, 0, 'in another process of the same boot, too')
  await store.uploads.append(repository, id, body(content))
  t.equal(await store.uploads.finish(repository, id, digestOf(content)), 9000)
})
