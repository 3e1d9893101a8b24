import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { Ingests } from '../../src/state/ingests.ts'
import { ContentStore } from '../../src/store/content.ts'
import { blobPath } from '../../src/store/layout.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { cannotMount, makeReadOnly, mountSmallDisk } from '../fixtures/small-disk.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

/** A started store; its state lies in a folder of its own each time. */
async function openContent(t: Test, root = join(t.testdir(), 'registry')) {
  const state = openTestState(t, mkdtempSync(join(t.testdirName, 'state-')))
  const content = new ContentStore({ root, ingests: new Ingests(state.db), logger: silent })
  await content.start()
  return { content, root }
}

t.test('small content is written once, whole and verified', async t => {
  const { content, root } = await openContent(t)
  const bytes = seededBytes('small', 2000)
  const digest = digestOf(bytes, 'sha512')
  await Promise.all([content.writeBytes(digest, bytes), content.writeBytes(digest, bytes)])
  await content.writeBytes(digest, bytes)
  t.ok(readFileSync(blobPath(root, digest)).equals(bytes))
  t.same(await content.readBytes(digest), bytes)
  t.equal(await content.usedBytes(), 2000)
  t.same(readdirSync(join(root, 'ingest')), [])
  await t.rejects(content.writeBytes(digest, Buffer.from('other')), { code: 'DIGEST_MISMATCH' })
})

t.test('what is absent is undefined, not an error', async t => {
  const { content } = await openContent(t)
  const digest = digestOf(Buffer.from('absent'))
  t.equal(await content.size(digest), undefined)
  t.equal(await content.readBytes(digest), undefined)
  t.equal(await content.openBlob(digest), undefined)
  await content.remove(digest)
  await content.dropIngest(digest)
  t.equal(await content.usedBytes(), 0)
})

t.test('small content that the disk spoilt counts as absent and is replaced', async t => {
  const { content, root } = await openContent(t)
  const bytes = seededBytes('spoilt', 300)
  const digest = digestOf(bytes)
  await content.writeBytes(digest, bytes)
  writeFileSync(blobPath(root, digest), Buffer.alloc(280))
  t.equal(await content.readBytes(digest), undefined)
  await content.writeBytes(digest, bytes)
  t.same(await content.readBytes(digest), bytes)
})

t.test('large content is not read as a whole', async t => {
  const { content } = await openContent(t)
  const bytes = Buffer.alloc(4 * 1024 * 1024 + 1)
  await content.writeBytes(digestOf(bytes), bytes)
  await t.rejects(content.readBytes(digestOf(bytes)), { code: 'INTERNAL' })
})

t.test('a reader keeps its content though the blob is removed', async t => {
  const { content, root } = await openContent(t)
  const bytes = seededBytes('read', 600_000)
  const digest = digestOf(bytes)
  await content.writeBytes(digest, bytes)
  const blob = await content.openBlob(digest)
  if (!blob) return t.fail('the blob is there')
  t.equal(blob.size, 600_000)
  await Promise.all([content.remove(digest), content.remove(digest)])
  t.notOk(existsSync(blobPath(root, digest)))
  t.equal(await content.usedBytes(), 0)
  t.equal(await content.size(digest), undefined)
  const part = Buffer.alloc(100)
  t.equal(await blob.read(part, 599_950), 50)
  t.ok(part.subarray(0, 50).equals(bytes.subarray(599_950)))
  await blob.close()
})

t.test('the bytes in use are known again after a restart', async t => {
  const { content, root } = await openContent(t)
  for (const seed of ['a', 'b', 'c'])
    await content.writeBytes(digestOf(seededBytes(seed, 1000)), seededBytes(seed, 1000))
  const next = await openContent(t, root)
  t.equal(await next.content.usedBytes(), 3000)
})

t.test('the space that is left is the disk’s own answer', { skip: cannotMount() }, async t => {
  t.testdir()
  const disk = mountSmallDisk(t, 4 * 1024 * 1024)
  const { content } = await openContent(t, disk)
  const before = await content.freeBytes()
  t.ok(before > 3_900_000 && before <= 4 * 1024 * 1024)
  const bytes = seededBytes('space', 1024 * 1024)
  await content.writeBytes(digestOf(bytes), bytes)
  t.ok(before - (await content.freeBytes()) >= 1024 * 1024)
})

t.test('a folder that can not be written is refused at the start', { skip: cannotMount() }, async t => {
  const below = join(t.testdir({ file: 'a file' }), 'file', 'registry')
  await t.rejects(openContent(t, below), { name: 'StateError', code: 'not-writable' })
  const disk = mountSmallDisk(t, 1024 * 1024)
  await openContent(t, disk)
  makeReadOnly(disk)
  await t.rejects(openContent(t, disk), { name: 'StateError', code: 'not-writable' })
})

t.test('a full disk takes no small content, and leaves nothing half', { skip: cannotMount() }, async t => {
  t.testdir()
  const disk = mountSmallDisk(t, 256 * 1024)
  const { content, root } = await openContent(t, disk)
  const bytes = seededBytes('full', 512 * 1024)
  await t.rejects(content.writeBytes(digestOf(bytes), bytes), { code: 'NO_SPACE', side: 'local' })
  t.equal(await content.size(digestOf(bytes)), undefined)
  t.same(readdirSync(join(root, 'ingest')), [])
  const small = seededBytes('small', 1000)
  await content.writeBytes(digestOf(small), small)
})
