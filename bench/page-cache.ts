/**
 * What the kernel keeps of the disk is made alike for every contender: upstream's content is in memory before the first lap, and nothing
 * that an earlier one wrote or removed is in the way when the next begins. Used by main.ts and race.ts.
 */
import { execFile } from 'node:child_process'
import { open, readdir, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram } from '../test/fixtures/programs.ts'

const run = promisify(execFile)

/** What is read at once. Bytes. */
const stretch = 1024 * 1024

/** Reads every file below the folder once, to nowhere. Gives their bytes. @throws the signal's reason when it is aborted. */
export async function readThrough(dir: string, signal: AbortSignal): Promise<number> {
  const buffer = Buffer.allocUnsafe(stretch)
  let total = 0
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    await using file = await open(join(entry.parentPath, entry.name))
    for (let bytes = -1; bytes !== 0; total += bytes) {
      signal.throwIfAborted()
      bytes = (await file.read(buffer, 0, buffer.byteLength, null)).bytesRead
    }
  }
  return total
}

/** Resolves when the folder's filesystem has written all that was still to be written. */
export async function writeOut(dir: string, signal: AbortSignal): Promise<void> {
  await run(findProgram('sync') ?? 'sync', ['--file-system', dir], { signal })
}

/**
 * Gives back what the files below the folder take of disk and memory, and leaves them there, empty. An ext4 without a journal looks at every
 * inode that was freed in the last minutes before it gives out another: thousands of removed files slow the making of new ones for so long.
 * A file that can't be emptied stays as it is.
 */
export async function emptyFiles(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) await truncate(join(entry.parentPath, entry.name)).catch(() => undefined)
  }
}
