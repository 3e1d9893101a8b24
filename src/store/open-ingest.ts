/**
 * Opens ingests: where an earlier one stopped, what an earlier process left is hashed once and gone on from, what this one left is not
 * even read. Used by content.ts.
 */
import type { Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Descriptor } from '../oci/descriptor.ts'
import { hasherFor, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import type { IngestRecord } from '../state/ingests.ts'
import { hashFile } from './hash-file.ts'
import { BlobIngest, type IngestContext } from './ingest.ts'
import { ingestPath } from './layout.ts'

/**
 * Opens the blob's ingest where an earlier one stopped, hashing what an earlier process left. After a kill the whole file counts, since
 * the page cache outlived the process; after a reboot only what was recorded as synced. The final digest decides in any case.
 * @throws ImageError `NO_SPACE`; the signal's reason when it is aborted meanwhile.
 */
export async function openIngest(blob: Descriptor, context: IngestContext, signal?: AbortSignal): Promise<BlobIngest> {
  const { root, ingests, bootId } = context
  const record = ingests.find(blob.digest)
  if (record === undefined && blob.size > 0) return new BlobIngest(blob, undefined, context)
  const file = await open(ingestPath(root, blob.digest), openFlags, 0o644)
  try {
    const { size: length } = await file.stat()
    const kept = trustedBytes(blob, length, record, bootId)
    if (length !== kept) await file.truncate(kept)
    const synced = Math.min(record?.synced ?? 0, kept)
    ingests.open(blob.digest, { size: blob.size, synced, bootId })
    const hash = context.resting?.bytes === kept ? context.resting.hash : await hashPrefix(blob, file, kept, signal)
    if (kept > 0) context.logger.debug({ digest: blob.digest, offset: kept, size: blob.size }, 'ingest goes on')
    return new BlobIngest(blob, { file, hash, position: kept, synced }, context)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function hashPrefix(blob: Descriptor, file: FileHandle, bytes: number, signal?: AbortSignal): Promise<Hash> {
  const hash = hasherFor(blob.digest)
  await hashFile(file, hash, bytes, signal)
  return hash
}

/** Read and write, made where it is missing, never cut. */
const openFlags = constants.O_RDWR | constants.O_CREAT

/** Of the bytes that an ingest's file holds, those that are what was written: all of them during the same boot, else what was synced. */
export function trustedBytes(
  blob: Descriptor,
  length: number,
  record: IngestRecord | undefined,
  bootId: string | undefined,
): number {
  if (record === undefined) return 0
  const sameBoot = bootId !== undefined && record.bootId === bootId
  const kept = sameBoot ? length : Math.min(length, record.synced)
  return kept > blob.size ? 0 : kept
}

/** The ingest of a blob that was completed since the caller last looked: everything is here, so there is nothing to fetch. */
export class CompleteIngest {
  readonly descriptor: Descriptor

  constructor(descriptor: Descriptor) {
    this.descriptor = descriptor
  }

  get offset(): number {
    return this.descriptor.size
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (chunk.byteLength === 0) return
    throw new ImageError(
      'SIZE_MISMATCH',
      `more bytes came for ${shortDigest(this.descriptor.digest)}, which is complete`,
    )
  }

  async commit(): Promise<void> {}
  async discard(): Promise<void> {}
  async close(): Promise<void> {}
}
