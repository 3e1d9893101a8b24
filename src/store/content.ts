/**
 * Blobs on disk by their digest, complete ones and those still arriving. The embedded registry's content, and by itself the staging
 * beside an external registry. Knows nothing of repositories and tags: store.ts does.
 */
import { renameSync, statSync } from 'node:fs'
import { type FileHandle, mkdir, open, statfs, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { maxManifestBytes } from '../oci/manifest.ts'
import { toStateError } from '../state/errors.ts'
import type { IngestRecord, Ingests } from '../state/ingests.ts'
import { BlockBuffers } from './append-file.ts'
import { readBootId } from './boot-id.ts'
import { DirectCalls } from './direct-calls.ts'
import { FolderSyncs } from './folder-syncs.ts'
import type { BlobIngest, IngestEnd, RestingHash } from './ingest.ts'
import {
  algorithms,
  blobFolder,
  blobPath,
  ingestFolder,
  ingestPath,
  localError,
  syncFolder,
  temporaryPath,
  writeFileDurably,
} from './layout.ts'
import { CompleteIngest, openIngest, trustedBytes } from './open-ingest.ts'
import { Pins } from './pins.ts'
import { measureBlobs, recoverIngests } from './recover.ts'
import { fileSize, ignoreMissing, openStoredBlob, type StoredBlob } from './stored-blob.ts'

export interface ContentStoreOptions {
  /** The folder of the layout; made by `start` where it is missing. */
  readonly root: string
  readonly ingests: Ingests
  readonly logger: Logger
  /** How many bytes of a blob may arrive before the disk is made to hold them and the offset is recorded. Default 8 MiB. */
  readonly syncBytes?: number
  /** Which boot of the machine this is; default: the kernel's answer. An empty text means that it can't be known. */
  readonly bootId?: string
}

/** A blob that is still arriving: its ledger row, the bytes that are here, and whether somebody writes it now. */
export interface IngestSummary extends IngestRecord {
  readonly offset: number
  readonly open: boolean
}

const defaultSyncBytes = 8 * 1024 * 1024
/** How long bytes that were written, or found here in place of being written, wait for somebody to name them. */
const namingMs = 60 * 60_000
const maxHashes = 64

export class ContentStore {
  /** What collection leaves alone for the sake of work that goes on. */
  readonly pins = new Pins()
  /** The folder of the layout. */
  readonly root: string
  readonly #ingests: Ingests
  readonly #buffers = new BlockBuffers()
  readonly #calls = new DirectCalls()
  readonly #folders = new FolderSyncs()
  readonly #logger: Logger
  readonly #syncBytes: number
  readonly #bootId: string | undefined
  /** Ingests that somebody holds; undefined while one is being opened. */
  readonly #open = new Map<Digest, BlobIngest | undefined>()
  /** Bytes of the ingests that nobody holds now. */
  #resting = new Map<Digest, number>()
  /** Their hashes, of those that this process has written last: a link that cuts often would have the same bytes hashed again and again. */
  readonly #hashes = new Map<Digest, RestingHash>()
  readonly #writing = new Map<Digest, Promise<void>>()
  #completeBytes = 0

  constructor(options: ContentStoreOptions) {
    this.root = options.root
    this.#ingests = options.ingests
    this.#logger = options.logger
    this.#syncBytes = options.syncBytes ?? defaultSyncBytes
    this.#bootId = (options.bootId ?? readBootId()) || undefined
  }

  /**
   * Makes the folders and puts right what a crash may have left.
   * @throws StateError when the folder can't be written or its disk is full.
   */
  async start(): Promise<void> {
    try {
      for (const algorithm of algorithms) await mkdir(blobFolder(this.root, algorithm), { recursive: true })
      await mkdir(ingestFolder(this.root), { recursive: true })
      await this.#probe()
      // A rename that a kill left unsynced becomes durable before anyone relies on what it brought.
      for (const algorithm of algorithms) await syncFolder(blobFolder(this.root, algorithm))
      this.#resting = await recoverIngests(this.root, this.#ingests, this.#logger)
      this.#completeBytes = await measureBlobs(this.root)
    } catch (error) {
      throw toStateError(error, this.root)
    }
  }

  /** Bytes of a complete blob, or undefined when it isn't here. */
  async size(digest: Digest): Promise<number | undefined> {
    return this.sizeNow(digest)
  }

  /** The same, at once: for callers within one transaction. */
  sizeNow(digest: Digest): number | undefined {
    return statSync(blobPath(this.root, digest), { throwIfNoEntry: false })?.size
  }

  /**
   * A small blob as a whole (a manifest, a config), or undefined when it isn't here. Content that the disk spoilt counts as absent,
   * so that it is fetched again.
   * @throws ImageError `INTERNAL` beyond 4 MiB.
   */
  async readBytes(digest: Digest): Promise<Uint8Array | undefined> {
    const blob = await this.openBlob(digest)
    if (!blob) return undefined
    try {
      if (blob.size > maxManifestBytes) {
        throw new ImageError('INTERNAL', `${shortDigest(digest)} is too large to be read as a whole`, { side: 'local' })
      }
      const bytes = await blob.bytes()
      if (digestOf(bytes, algorithmOf(digest)) === digest) return bytes
      this.#logger.error({ digest }, 'the disk holds other bytes under this digest; it counts as absent')
      return undefined
    } finally {
      await blob.close()
    }
  }

  /** Opens a complete blob for reading, or answers undefined when it isn't here. Close it after use. */
  async openBlob(digest: Digest): Promise<StoredBlob | undefined> {
    return await openStoredBlob(blobPath(this.root, digest))
  }

  /**
   * Stores a small blob from memory: verified, whole or not at all, and durable once this resolves.
   * @throws ImageError `DIGEST_MISMATCH`, `NO_SPACE`.
   */
  async writeBytes(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      throw new ImageError('DIGEST_MISMATCH', `${bytes.byteLength} bytes are not ${shortDigest(digest)}`)
    }
    this.touch(digest)
    const writing = this.#writing.get(digest) ?? this.#write(digest, bytes).finally(() => this.#writing.delete(digest))
    this.#writing.set(digest, writing)
    await writing
  }

  /**
   * Opens the blob's ingest where an earlier one stopped; what an earlier process left is hashed first. One at a time per digest. For a blob that
   * is complete, the ingest has everything already.
   * @throws ImageError `INTERNAL` when somebody else holds it, `NO_SPACE`; the signal's reason.
   */
  async openIngest(blob: Descriptor, signal?: AbortSignal): Promise<BlobIngest | CompleteIngest> {
    const { digest } = blob
    if (this.#open.has(digest)) {
      throw new ImageError('INTERNAL', `the ingest of ${shortDigest(digest)} is open already`, { side: 'local' })
    }
    if (this.sizeNow(digest) === blob.size) return new CompleteIngest(blob)
    this.#open.set(digest, undefined)
    try {
      const ingest = await openIngest(
        blob,
        {
          root: this.root,
          ingests: this.#ingests,
          buffers: this.#buffers,
          calls: this.#calls,
          folders: this.#folders,
          logger: this.#logger,
          syncBytes: this.#syncBytes,
          bootId: this.#bootId,
          resting: this.#takeHash(digest),
          ended: end => this.#ended(blob, end),
        },
        signal,
      )
      this.#open.set(digest, ingest)
      this.#resting.delete(digest)
      return ingest
    } catch (error) {
      await this.#measureResting(digest)
      this.#open.delete(digest)
      signal?.throwIfAborted()
      throw localError(error, `open ingest of ${shortDigest(digest)}`)
    }
  }

  /** Bytes of a blob that is still arriving with which its ingest would be opened now. Not verified: all of them may still be wrong. */
  arrived(blob: Descriptor): number {
    const { digest } = blob
    const length = this.#open.get(digest)?.offset ?? this.#resting.get(digest)
    return length === undefined ? 0 : trustedBytes(blob, length, this.#ingests.find(digest), this.#bootId)
  }

  /** Everything that is still arriving, the one that rested longest first. */
  ingests(): IngestSummary[] {
    return this.#ingests.list().map(record => ({
      ...record,
      offset: this.#open.get(record.digest)?.offset ?? this.#resting.get(record.digest) ?? 0,
      open: this.#open.has(record.digest),
    }))
  }

  /** Throws away what has arrived of a blob that nobody wants any more. @throws ImageError `INTERNAL` while somebody holds it. */
  async dropIngest(digest: Digest): Promise<void> {
    if (this.#open.has(digest)) {
      throw new ImageError('INTERNAL', `the ingest of ${shortDigest(digest)} is being written`, { side: 'local' })
    }
    await unlink(ingestPath(this.root, digest)).catch(ignoreMissing)
    this.#ingests.remove(digest)
    this.#resting.delete(digest)
    this.#hashes.delete(digest)
  }

  /**
   * Makes a file of this folder the blob `blob.digest`, durably. The caller has verified it and made the disk hold it; `landed` is
   * called before anybody else could remove the blob again.
   */
  async adopt(path: string, blob: Pick<Descriptor, 'digest' | 'size'>, landed: () => void): Promise<void> {
    const target = blobPath(this.root, blob.digest)
    const release = this.pins.hold([blob.digest])
    try {
      const before = this.sizeNow(blob.digest) ?? 0
      renameSync(path, target) // at once, so that the same blob from another client is counted once
      this.#completeBytes += blob.size - before
      await this.#folders.sync(dirname(target))
      landed()
    } catch (error) {
      throw localError(error, `store ${shortDigest(blob.digest)}`)
    } finally {
      release()
    }
  }

  /** Keeps a file from collection for a while: whoever finds it here next may be about to name it in a repository. */
  touch(digest: Digest): void {
    this.pins.touch(digest, namingMs)
  }

  /**
   * Takes a complete blob out of sight, at once, so that nothing comes between the caller's check that nobody needs it and this.
   * What is left to do is to unlink the file that is named; a crash leaves that to the next start. Undefined when it isn't here, or
   * work that goes on relies on it.
   */
  takeOut(digest: Digest): { readonly path: string; readonly bytes: number } | undefined {
    if (this.#open.has(digest) || this.pins.keepsFile(digest)) return undefined
    return this.#moveAway(digest)
  }

  /** The same for a file whose bytes are not what its digest says, whoever relies on it; `inode` is that of the file that was read. */
  takeOutDamaged(digest: Digest, inode: number): { readonly path: string; readonly bytes: number } | undefined {
    const there = statSync(blobPath(this.root, digest), { throwIfNoEntry: false })?.ino
    return there === inode ? this.#moveAway(digest) : undefined
  }

  #moveAway(digest: Digest): { readonly path: string; readonly bytes: number } | undefined {
    const bytes = this.sizeNow(digest)
    if (bytes === undefined) return undefined
    const path = temporaryPath(this.root)
    renameSync(blobPath(this.root, digest), path)
    this.#completeBytes -= bytes
    return { path, bytes }
  }

  /** Removes a complete blob; who has it open can read on. Whether anything still needs it is for the caller to know. */
  async remove(digest: Digest): Promise<void> {
    const size = this.sizeNow(digest)
    if (size === undefined) return // looking is cheaper than a turn of the disk's threads that fails
    const removed = await unlink(blobPath(this.root, digest)).then(() => true, ignoreMissing)
    if (removed) this.#completeBytes -= size
  }

  /** Bytes of all content, complete or still arriving. */
  async usedBytes(): Promise<number> {
    let arriving = 0
    for (const ingest of this.#open.values()) arriving += ingest?.offset ?? 0
    for (const bytes of this.#resting.values()) arriving += bytes
    return this.#completeBytes + arriving
  }

  /** Bytes that the disk still takes from this process. */
  async freeBytes(): Promise<number> {
    const disk = await statfs(this.root)
    return disk.bavail * disk.bsize
  }

  async #write(digest: Digest, bytes: Uint8Array): Promise<void> {
    try {
      const before = this.sizeNow(digest)
      const intact = before === bytes.byteLength && (before > maxManifestBytes || (await this.readBytes(digest)))
      if (intact) return
      const write = async (file: FileHandle) => await file.writeFile(bytes)
      await writeFileDurably(this.root, blobPath(this.root, digest), write, folder => this.#folders.sync(folder))
      this.#completeBytes += bytes.byteLength - (before ?? 0)
    } catch (error) {
      throw localError(error, `store ${shortDigest(digest)}`)
    }
  }

  #ended({ digest, size }: Descriptor, { committed, kept, replaced, resting }: IngestEnd): void {
    this.#open.delete(digest)
    if (committed) this.#completeBytes += size - replaced
    else if (kept > 0) this.#resting.set(digest, kept)
    if (resting) this.#keepHash(digest, resting)
  }

  /** An opening that failed may have cut what was resting. */
  async #measureResting(digest: Digest): Promise<void> {
    const bytes = await fileSize(ingestPath(this.root, digest)).catch(() => undefined)
    if (bytes === undefined) this.#resting.delete(digest)
    else this.#resting.set(digest, bytes)
  }

  #keepHash(digest: Digest, hash: RestingHash): void {
    const [oldest] = this.#hashes.keys()
    if (oldest !== undefined && this.#hashes.size >= maxHashes) this.#hashes.delete(oldest)
    this.#hashes.set(digest, hash)
  }

  /** A hash goes on from where it is, so it is handed out once. */
  #takeHash(digest: Digest): RestingHash | undefined {
    const hash = this.#hashes.get(digest)
    this.#hashes.delete(digest)
    return hash
  }

  /** Whether the folder takes a file, found out before work begins: permissions alone don't tell (a read-only mount, a full disk). */
  async #probe(): Promise<void> {
    const path = temporaryPath(this.root)
    const file = await open(path, 'w')
    try {
      await file.writeFile('writable\n')
    } finally {
      await file.close()
      await unlink(path).catch(ignoreMissing)
    }
  }
}
