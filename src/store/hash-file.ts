/** Hashes what an earlier writer left in a file, in bounded memory. Used by ingests and upload sessions, which go on from there. */
import type { Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'

const bufferBytes = 256 * 1024

/** Feeds the first `length` bytes of the file to the hash. @throws Error when the file is shorter; the signal's reason. */
export async function hashFile(file: FileHandle, hash: Hash, length: number, signal?: AbortSignal): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(bufferBytes, length))
  for (let position = 0; position < length; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.byteLength, length - position), position)
    if (bytesRead === 0) throw new Error(`the file of arriving content ends at ${position}, before ${length}`)
    hash.update(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
}
