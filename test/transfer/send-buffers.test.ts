import t from 'tap'
import { BlockBuffers } from '../../src/store/append-file.ts'
import { SendBuffers } from '../../src/transfer/send-buffers.ts'
import { seededBytes } from '../fixtures/layers.ts'

const bytes = seededBytes('sent', 2_000_000)
const source = {
  size: bytes.byteLength,
  read: async (buffer: Uint8Array, position: number) => {
    const part = bytes.subarray(position, position + buffer.byteLength)
    buffer.set(part)
    return part.byteLength
  },
}

t.test('each chunk stays as it is until three more have been asked for', async t => {
  const held: { chunk: Uint8Array; expected: Uint8Array }[] = []
  let position = 1000
  for await (const chunk of new SendBuffers(new BlockBuffers()).chunks(source, position)) {
    held.push({ chunk, expected: bytes.subarray(position, position + chunk.byteLength) })
    position += chunk.byteLength
    for (const { chunk, expected } of held.slice(-4)) t.equal(Buffer.compare(chunk, expected), 0)
  }
  t.equal(position, bytes.byteLength)
})

t.test('the same memory serves one upload after the other', async t => {
  const pool = new BlockBuffers()
  const seen = new Set<ArrayBufferLike>()
  for (let upload = 0; upload < 3; upload++) {
    const buffers = new SendBuffers(pool)
    for await (const chunk of buffers.chunks(source, 0)) seen.add(chunk.buffer)
    buffers.giveBack()
  }
  t.equal(seen.size, 4)
})

t.test('memory that a read still fills serves nobody else', async t => {
  const pool = new BlockBuffers()
  const buffers = new SendBuffers(pool)
  const late = Promise.withResolvers<void>()
  const filled: Uint8Array[] = []
  const slow = {
    size: source.size,
    read: async (buffer: Uint8Array) => {
      await late.promise
      filled.push(buffer)
      return buffer.fill(0xff).byteLength
    },
  }
  // Its request was answered before its end, and the blob is sent once more, in another way
  const left = buffers.chunks(slow, 0)
  const asked = left.next()
  const sent = new Set<ArrayBufferLike>()
  for await (const chunk of buffers.chunks(source, 0)) sent.add(chunk.buffer)
  buffers.giveBack()
  const next = Array.from({ length: 5 }, () => pool.take().fill(1))
  late.resolve()
  await asked
  await left.return(undefined)
  t.equal(filled.length, 1)
  t.notOk(
    filled.some(buffer => sent.has(buffer.buffer)),
    'not what is sent now',
  )
  t.ok(
    next.every(buffer => buffer.every(byte => byte === 1)),
    'not those who took it from the pool',
  )
})

t.test('a file that is shorter than it was is told', async t => {
  const chunks = new SendBuffers(new BlockBuffers()).chunks({ ...source, size: bytes.byteLength + 1 }, 0)
  await t.rejects(
    (async () => {
      for await (const _ of chunks);
    })(),
    /ends at byte 2000000/,
  )
})
