import { createHash } from 'node:crypto'
import t from 'tap'
import { AppendFile, type AppendTarget, BlockBuffers } from '../../src/store/append-file.ts'
import { seededBytes } from '../fixtures/layers.ts'

/** A file in memory that notes what is done to it, and fails when told to. */
class ScriptedFile implements AppendTarget {
  content: Buffer = Buffer.alloc(0)
  readonly log: string[] = []
  room = Number.POSITIVE_INFINITY
  syncFault: Error | undefined
  /** What a sync waits for. */
  syncGate: Promise<void> | undefined
  atOnce = 0
  mostAtOnce = 0

  async write(buffer: Uint8Array, offset: number, length: number, position: number) {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce)
    await new Promise(resolve => setImmediate(resolve))
    this.atOnce--
    // As a disk does: what still fits is written, the next byte is refused.
    const fits = Math.min(length, this.room - position)
    if (fits <= 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    const grown = Buffer.alloc(Math.max(this.content.byteLength, position + fits))
    this.content.copy(grown)
    grown.set(buffer.subarray(offset, offset + fits), position)
    this.content = grown
    this.log.push('write')
    return { bytesWritten: fits }
  }

  async datasync() {
    this.log.push(`sync ${this.content.byteLength}`)
    await this.syncGate
    if (this.syncFault) throw this.syncFault
  }

  async close() {
    this.log.push('close')
  }
}

function openAppend(
  file: ScriptedFile,
  at = { position: 0, synced: 0 },
  buffers = new BlockBuffers(1000),
  synced = (offset: number) => void file.log.push(`record ${offset}`),
) {
  const hash = createHash('sha256')
  const append = new AppendFile(file, at, {
    buffers,
    syncBytes: 4000,
    syncMs: 60_000,
    taken: bytes => hash.update(bytes),
    synced,
    broken: offset => void file.log.push(`broken ${offset}`),
  })
  return { append, hash }
}

t.test('small chunks are gathered, in order, one write at a time, and hashed once', async t => {
  const file = new ScriptedFile()
  const { append, hash } = openAppend(file)
  const content = seededBytes('small', 7300)
  const chunk = Buffer.alloc(73)
  for (let at = 0; at < content.byteLength; at += 73) {
    content.copy(chunk, 0, at, at + 73)
    await append.append(chunk)
    chunk.fill(0xff) // the memory is the caller's again
  }
  t.equal(append.end, 7300)
  await append.flush()
  t.ok(file.content.equals(content))
  t.equal(hash.digest('hex'), createHash('sha256').update(content).digest('hex'))
  t.equal(file.mostAtOnce, 1, 'the file never has holes: its length says what is there')
  t.ok(file.log.filter(entry => entry === 'write').length <= 20)
})

t.test('a chunk larger than the buffers goes through them', async t => {
  const file = new ScriptedFile()
  const { append } = openAppend(file)
  const content = seededBytes('large', 12_345)
  await append.append(content)
  await append.flush()
  t.ok(file.content.equals(content))
})

t.test('an offset is recorded only after the sync that covers it', async t => {
  const file = new ScriptedFile()
  const { append } = openAppend(file)
  await append.append(seededBytes('ordered', 9000))
  await append.flush()
  const marks = file.log.filter(entry => entry !== 'write')
  t.same(marks, ['sync 4000', 'record 4000', 'sync 8000', 'record 8000', 'sync 9000', 'record 9000'])
})

t.test('it goes on writing beside a sync, and waits where the next one is due', async t => {
  const file = new ScriptedFile()
  const { append } = openAppend(file)
  const disk = Promise.withResolvers<void>()
  file.syncGate = disk.promise
  await append.append(seededBytes('beside', 8000))
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  t.same(file.log, ['write', 'write', 'write', 'write', 'sync 4000', 'write', 'write', 'write'])
  const stuck = append.append(seededBytes('due', 3000))
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  t.equal(file.content.byteLength, 8000)
  disk.resolve()
  await stuck
  await append.flush()
  const marks = file.log.filter(entry => entry !== 'write')
  t.same(marks, ['sync 4000', 'record 4000', 'sync 8000', 'record 8000', 'sync 11000', 'record 11000'])
})

t.test('a sync beside the writing that failed is told, and nothing is promised after it', async t => {
  const file = new ScriptedFile()
  const { append } = openAppend(file)
  file.syncFault = new Error('the disk lost pages')
  await t.rejects(append.append(seededBytes('lost', 20_000)), file.syncFault)
  const fault = file.syncFault
  file.syncFault = undefined
  await t.rejects(append.flush(), fault)
  await append.close()
  t.notOk(file.log.some(entry => entry.startsWith('record')))
})

t.test('after a sync that failed no other is begun, though a write waited for it', async t => {
  const file = new ScriptedFile()
  const { append } = openAppend(file)
  const disk = Promise.withResolvers<void>()
  file.syncGate = disk.promise
  await append.append(seededBytes('first', 8000))
  const waiting = append.append(seededBytes('next', 3000))
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  const fault = new Error('the disk lost pages')
  disk.reject(fault)
  await t.rejects(waiting, fault)
  file.syncGate = undefined // the disk tells it once
  await t.rejects(append.flush(), fault)
  await append.close()
  t.same(
    file.log.filter(entry => entry !== 'write'),
    ['sync 4000', 'broken 0', 'close'],
  )
  t.equal(append.synced, 0)
  t.ok(append.isBroken)
})

t.test('an offset that could not be noted costs nothing but its note', async t => {
  const file = new ScriptedFile()
  let isFull = true
  const { append } = openAppend(file, undefined, undefined, offset => {
    file.log.push(`record ${offset}`)
    if (isFull) throw new Error('the database is full')
  })
  await append.append(seededBytes('noted', 9500))
  t.equal(append.end, 9500)
  await t.rejects(append.flush(), { message: 'the database is full' }, 'its own try is told')
  t.equal(append.written, 9500, 'and all of it is in the file')
  t.notOk(append.isBroken)
  isFull = false
  await append.flush()
  t.equal(file.log.at(-1), 'record 9500')
})

t.test('a sync that failed is never taken back by one that works', async t => {
  const file = new ScriptedFile()
  const { append } = openAppend(file)
  file.syncFault = new Error('the disk lost pages')
  await append.append(seededBytes('lost', 2000))
  await t.rejects(append.flush(), file.syncFault)
  const fault = file.syncFault
  file.syncFault = undefined
  await t.rejects(append.flush(), fault)
  t.notOk(file.log.some(entry => entry.startsWith('record')))
})

t.test('on a full disk it keeps what is not written, and goes on when there is room', async t => {
  const file = new ScriptedFile()
  const { append, hash } = openAppend(file)
  file.room = 2500
  const content = seededBytes('full', 6000)
  await t.rejects(append.append(content), { code: 'ENOSPC' })
  t.equal(append.written, 2500)
  await t.rejects(append.append(content.subarray(append.end)), { code: 'ENOSPC' })
  file.room = Number.POSITIVE_INFINITY
  await append.append(content.subarray(append.end))
  await append.flush()
  t.ok(file.content.equals(content))
  t.equal(hash.digest('hex'), createHash('sha256').update(file.content).digest('hex'))
})

t.test('it goes on where an earlier one stopped', async t => {
  const file = new ScriptedFile()
  file.content = seededBytes('before', 500)
  const { append } = openAppend(file, { position: 500, synced: 300 })
  await append.append(Buffer.from('after'))
  await append.flush()
  t.equal(file.content.subarray(500).toString(), 'after')
  t.ok(file.log.includes('record 505'))
  await append.close()
  t.equal(file.log.at(-1), 'close')
})

t.test('the memory of one file serves the next, and never two at once', async t => {
  const buffers = new BlockBuffers(1000)
  const lent = new Set<Buffer>()
  const seen = new Set<Buffer>()
  const { take, give } = { take: buffers.take.bind(buffers), give: buffers.give.bind(buffers) }
  buffers.take = () => {
    const buffer = take()
    t.notOk(lent.has(buffer), 'lent to one at a time')
    lent.add(buffer)
    seen.add(buffer)
    return buffer
  }
  buffers.give = buffer => {
    t.ok(lent.delete(buffer), 'given back once')
    give(buffer)
  }
  const contents = ['a', 'b', 'c', 'd'].map(seed => seededBytes(seed, 5300))
  for (const pair of [contents.slice(0, 2), contents.slice(2)]) {
    const files = pair.map(() => new ScriptedFile())
    const appends = files.map(file => openAppend(file, { position: 0, synced: 0 }, buffers).append)
    for (let at = 0; at < 5300; at += 530) {
      await Promise.all(
        appends.map((append, nth) => append.append(pair[nth]?.subarray(at, at + 530) ?? Buffer.alloc(0))),
      )
    }
    for (const append of appends) await append.flush()
    for (const append of appends) await append.close()
    t.same(
      files.map(file => file.content),
      pair,
    )
  }
  t.equal(lent.size, 0)
  t.ok(seen.size <= 4, `${seen.size} buffers for four files`)
})

t.test('two who write out after a failed write share the next one', async t => {
  const file = new ScriptedFile()
  file.room = 0
  const { append, hash } = openAppend(file)
  const content = seededBytes('shared', 1500)
  await append.append(content)
  await new Promise(resolve => setImmediate(resolve))
  file.room = Number.POSITIVE_INFINITY
  await Promise.all([append.writeOut(), append.writeOut()])
  t.equal(append.written, 1500)
  t.equal(file.mostAtOnce, 1)
  t.ok(file.content.equals(content))
  t.equal(hash.digest('hex'), createHash('sha256').update(content).digest('hex'))
})
