/**
 * Where things lie in the folder of an OCI image layout, and how files get there so that a power loss finds them whole.
 * OCI image-spec, image-layout.md. Used by every file of this room.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, fsync, openSync } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/digest.ts'
import { ImageError, toImageError } from '../oci/errors.ts'

/** The algorithms that a layout has a folder for. */
export const algorithms: readonly DigestAlgorithm[] = ['sha256', 'sha512']

/** The folder of all blobs of one algorithm. */
export function blobFolder(root: string, algorithm: DigestAlgorithm): string {
  return join(root, 'blobs', algorithm)
}

/** A blob that is complete and verified. */
export function blobPath(root: string, digest: Digest): string {
  return join(blobFolder(root, algorithmOf(digest)), hexOf(digest))
}

/** What is still arriving: beside the blobs, on the same file system, so that a rename completes it. */
export function ingestFolder(root: string): string {
  return join(root, 'ingest')
}

/** A blob that is still arriving. */
export function ingestPath(root: string, digest: Digest): string {
  return join(ingestFolder(root), `${algorithmOf(digest)}-${hexOf(digest)}`)
}

/** What a client is pushing in an upload session; its digest is known only at the end. */
export function uploadPath(root: string, id: string): string {
  return join(ingestFolder(root), `upload-${id}`)
}

/** The upload session that a file in the folder of ingests belongs to, if it belongs to one. */
export function uploadIdOf(name: string): string | undefined {
  return /^upload-([0-9a-f-]{36})$/.exec(name)?.[1]
}

/** What a crash may leave in the folder of ingests: nothing but files of these names is ours to remove. */
export function isIngestName(name: string): boolean {
  return /^(?:tmp-.+|sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})$/.test(name)
}

/** A name for a file that is being written, to be renamed when it is whole. */
export function temporaryPath(root: string): string {
  return join(ingestFolder(root), `tmp-${randomUUID()}`)
}

/** Writes a small file so that a reader, and the disk after a power loss, has the old one or the new one whole. */
export async function writeFileDurably(
  root: string,
  path: string,
  write: (file: FileHandle) => Promise<void>,
  sync: (folder: string) => Promise<void> = syncFolder,
): Promise<void> {
  const temporary = temporaryPath(root)
  try {
    const file = await open(temporary, 'w', 0o644)
    try {
      await write(file)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await sync(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

const syncFile = promisify(fsync)

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const folder = openSync(path, 'r') // at once, as the close: neither asks the disk, and a turn of the pool costs more
  try {
    await syncFile(folder)
  } finally {
    closeSync(folder)
  }
}

/** Anything that the disk or the database threw, as an ImageError of the local side that says what was being done. */
export function localError(error: unknown, doing: string): ImageError {
  if (error instanceof ImageError) return error
  const { code, message } = toImageError(error)
  return new ImageError(code, message, { cause: error, side: 'local', doing })
}
