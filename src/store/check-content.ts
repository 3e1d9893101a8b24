/** Reads one blob and says whether it is still what its digest says. For the scrub; used by upkeep.ts. */
import { unlink } from 'node:fs/promises'
import { type Digest, digestMatches, hasherFor } from '../oci/digest.ts'
import type { ContentStore } from './content.ts'
import { ignoreMissing } from './stored-blob.ts'

export type Check = 'intact' | 'damaged' | 'unreadable' | 'missing'

const bufferBytes = 256 * 1024

/**
 * Reads the blob to its end. One that is damaged, or that the disk can't read, is taken out of sight at once: a reader is better off
 * with "not here" than with wrong bytes, and a transfer fetches it again.
 */
export async function checkContent(
  content: ContentStore,
  digest: Digest,
  { pace, signal }: { pace: (bytes: number) => Promise<void>; signal: AbortSignal },
): Promise<Check> {
  const blob = await content.openBlob(digest)
  if (blob === undefined) return 'missing'
  let check: Check
  try {
    check = await readThrough(blob, digest, pace, signal)
    if (check === 'intact') return check
    const out = content.takeOutDamaged(digest, blob.inode)
    if (out === undefined) return 'intact' // replaced while it was read: the new file was verified as it came
    await unlink(out.path).catch(ignoreMissing)
  } finally {
    await blob.close()
  }
  return check
}

async function readThrough(
  blob: { readonly size: number; read(buffer: Uint8Array, position: number): Promise<number> },
  digest: Digest,
  pace: (bytes: number) => Promise<void>,
  signal: AbortSignal,
): Promise<Check> {
  const hash = hasherFor(digest)
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(bufferBytes, blob.size)))
  for (let position = 0; position < blob.size; ) {
    signal.throwIfAborted()
    let count: number
    try {
      count = await blob.read(buffer, position)
    } catch {
      return 'unreadable'
    }
    if (count === 0) return 'damaged'
    hash.update(buffer.subarray(0, count))
    position += count
    await pace(count)
  }
  return digestMatches(digest, hash) ? 'intact' : 'damaged'
}
