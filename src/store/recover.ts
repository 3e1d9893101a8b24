/** What a store finds when it starts: how many bytes it holds, and ingests that a crash left half way. Used by content.ts. */
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Digest } from '../oci/digest.ts'
import type { Ingests } from '../state/ingests.ts'
import { algorithms, blobFolder, blobPath, ingestFolder, ingestPath, isIngestName } from './layout.ts'
import { fileSize, ignoreMissing } from './stored-blob.ts'

/**
 * Brings the ledger and the folder of ingests into agreement, and answers the bytes of each that can go on.
 * A finished blob's row goes; a row without a file goes; a file without a row (the database was lost) can't be trusted and goes.
 */
export async function recoverIngests(root: string, ingests: Ingests, logger: Logger): Promise<Map<Digest, number>> {
  const kept = new Map<Digest, number>()
  const known = new Set<string>()
  for (const { digest } of ingests.list()) {
    const path = ingestPath(root, digest)
    const bytes = await fileSize(path)
    if (bytes === undefined || (await fileSize(blobPath(root, digest))) !== undefined) {
      ingests.remove(digest)
    } else {
      kept.set(digest, bytes)
      known.add(path)
    }
  }
  let dropped = 0
  for (const name of await readdir(ingestFolder(root))) {
    const path = join(ingestFolder(root), name)
    if (known.has(path) || !isIngestName(name)) continue
    await unlink(path).catch(ignoreMissing)
    dropped++
  }
  if (dropped > 0) logger.debug({ dropped }, 'leftovers of an earlier process removed')
  return kept
}

/** How many files are asked for their size at once: enough to keep a disk busy, few enough to leave it room for others. */
const statsAtOnce = 8

/** Bytes of all complete blobs. */
export async function measureBlobs(root: string): Promise<number> {
  let total = 0
  for (const algorithm of algorithms) {
    const folder = blobFolder(root, algorithm)
    const names = (await readdir(folder)).values()
    const worker = async () => {
      for (const name of names) {
        const bytes = await fileSize(join(folder, name)) // not within the sum, which would be read before the wait
        total += bytes ?? 0
      }
    }
    await Promise.all(Array.from({ length: statsAtOnce }, worker))
  }
  return total
}
