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

t.test('a file that is shorter than it was is told', async t => {
  const chunks = new SendBuffers(new BlockBuffers()).chunks({ ...source, size: bytes.byteLength + 1 }, 0)
  await t.rejects(
    (async () => {
      for await (const _ of chunks);
    })(),
    /ends at byte 2000000/,
  )
})
