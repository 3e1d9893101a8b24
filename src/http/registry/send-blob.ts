/**
 * A blob's bytes from its file to a reader: two buffers in turn, one being filled while the other is being sent. Measured twice
 * as fast as a stream with its default buffer, in memory that doesn't grow with the blob. Used by blobs.ts.
 */
import type { ServerResponse } from 'node:http'
import type { OpenBlob } from './content.ts'
import type { ByteRange } from './range.ts'
import type { Traffic } from './traffic.ts'

/** The reader went away, or was too slow for too long, before everything was sent. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone'
}

const largeBuffer = 256 * 1024
const smallBuffer = 64 * 1024
/** Beyond so many readers at once each gets small buffers: speed is the network's then, and memory stays bounded. */
const readersWithLargeBuffers = 32

/**
 * Sends `range` of the blob as the response's body and ends it; the head is the caller's.
 * @throws ReaderGone; Error when the file is shorter than the blob. The response is then unfinished and must be destroyed.
 */
export async function sendBlob(
  blob: OpenBlob,
  range: ByteRange,
  response: ServerResponse,
  traffic: Traffic,
): Promise<void> {
  traffic.beginReading()
  try {
    await pump(blob, range, response, traffic)
  } finally {
    traffic.endReading()
  }
  response.end()
}

async function pump(blob: OpenBlob, range: ByteRange, response: ServerResponse, traffic: Traffic): Promise<void> {
  const limit = traffic.readers > readersWithLargeBuffers ? smallBuffer : largeBuffer
  const bufferSize = Math.min(limit, range.end - range.start)
  let filling = Buffer.allocUnsafeSlow(bufferSize)
  let other = Buffer.allocUnsafeSlow(bufferSize)
  const write = bodyWriter(response)
  let inFlight = Promise.resolve()
  for (let position = range.start; position < range.end; ) {
    const wanted = filling.subarray(0, Math.min(bufferSize, range.end - position))
    // Together, so that the disk and the network work at once, and so that a write that fails meanwhile is caught here.
    const [count] = await Promise.all([blob.read(wanted, position), inFlight])
    if (count === 0) throw new Error(`the file of the blob ends at byte ${position}, before byte ${range.end}`)
    inFlight = write(wanted.subarray(0, count)).then(() => traffic.countBytes(count))
    position += count
    ;[filling, other] = [other, filling]
  }
  await inFlight
}

/** Writes one chunk at a time; the promise settles when the chunk's memory may be used again, or rejects when the reader has gone. */
function bodyWriter(response: ServerResponse): (chunk: Uint8Array) => Promise<void> {
  let fail: ((error: Error) => void) | undefined
  let gone = response.destroyed
  response.once('close', () => {
    gone = true
    fail?.(new ReaderGone('the reader closed the connection'))
  })
  return chunk =>
    new Promise((resolve, reject) => {
      if (gone) return reject(new ReaderGone('the reader closed the connection'))
      fail = reject
      response.write(chunk, error => (error ? reject(new ReaderGone(error.message, { cause: error })) : resolve()))
    })
}
