/**
 * One upload session: a file that a client appends to with one request after another, its digest told only at the end. As with an
 * ingest, bytes are appended, synced, then the offset is recorded. Between requests nothing but the running hash is kept in memory.
 * Used by uploads.ts, which sees to it that one request at a time is here.
 */
import type { Hash } from 'node:crypto'
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import type { Logger } from 'pino'
import { algorithmOf, type Digest, type DigestAlgorithm, digestMatches } from '../oci/digest.ts'
import type { UploadRecord, UploadRows } from '../state/uploads.ts'
import { AppendFile, BlockBuffers } from './append-file.ts'
import { hashFile } from './hash-file.ts'
import { localError, uploadPath } from './layout.ts'
import { noteLostPages } from './lost-pages.ts'
import { fileSize, ignoreMissing } from './stored-blob.ts'
import { UploadError } from './upload-error.ts'

export interface SessionContext {
  readonly root: string
  readonly rows: UploadRows
  readonly logger: Logger
  /** Sync and record the offset after so many bytes. */
  readonly syncBytes: number
  /** This boot of the machine, or undefined where that can't be known. */
  readonly bootId: string | undefined
}

/** How much may come with one request, in bytes. */
export interface AppendLimits {
  /** What the request says that it brings, where it says so: no more and no less is taken. */
  readonly length: number | undefined
  /** Of the whole blob. */
  readonly maxBytes: number
}

/** Sync at least so often while bytes come. */
const syncMs = 10_000
/** Read and write, made where it is missing, never cut. */
const openFlags = constants.O_RDWR | constants.O_CREAT

export class UploadSession {
  readonly id: string
  readonly repository: string
  readonly #context: SessionContext
  #algorithm: DigestAlgorithm
  #synced: number
  /** Bytes that count: in the file, or on their way there. */
  #offset: number
  /** Over the first `#hashed` bytes; undefined after a restart, until it is needed. */
  #hash: Hash | undefined
  #hashed = 0

  constructor(record: Pick<UploadRecord, 'id' | 'repository' | 'algorithm'>, context: SessionContext) {
    this.id = record.id
    this.repository = record.repository
    this.#context = context
    this.#algorithm = record.algorithm
    this.#synced = 0
    this.#offset = 0
  }

  /** A session of an earlier process. After a kill its whole file counts; after a reboot, what was recorded as synced. */
  static async restore(record: UploadRecord, context: SessionContext): Promise<UploadSession> {
    const session = new UploadSession(record, context)
    const length = (await fileSize(session.path)) ?? 0
    const sameBoot = context.bootId !== undefined && record.bootId === context.bootId
    session.#offset = sameBoot ? length : Math.min(length, record.synced)
    session.#synced = Math.min(record.synced, session.#offset)
    return session
  }

  get path(): string {
    return uploadPath(this.#context.root, this.id)
  }

  /** Where the next byte goes. */
  get offset(): number {
    return this.#offset
  }

  /** Says of which algorithm the digest will be; once bytes have come, they are hashed again at the end where it differs. */
  expect(algorithm: DigestAlgorithm): void {
    if (this.#offset === 0) this.#startOver(algorithm)
  }

  /**
   * Appends the body and makes it durable. Whatever ends it early, what has come so far is kept.
   * @throws UploadError `LENGTH`, `TOO_LARGE`; ImageError `NO_SPACE`; the body's own error.
   */
  async append(body: AsyncIterable<Uint8Array>, limits: AppendLimits, signal: AbortSignal): Promise<void> {
    const end = this.#offset + (limits.length ?? Number.POSITIVE_INFINITY)
    const file = await this.#local(() => this.#openForWriting(limits.length, signal), signal)
    try {
      for await (const chunk of body) {
        checkRoom(this.#offset + chunk.byteLength, end, limits.maxBytes)
        await this.#local(() => file.append(chunk))
        this.#offset = file.end
      }
    } catch (error) {
      await this.#close(file).catch(closing => {
        this.#context.logger.warn({ err: closing, upload: this.id }, 'the end of an upload was not kept')
      })
      throw error
    }
    await this.#local(() => this.#close(file))
    if (limits.length !== undefined && this.#offset !== end) {
      throw new UploadError('LENGTH', `the request said ${limits.length} bytes and ended ${end - this.#offset} before`)
    }
  }

  /** Whether everything that came is `digest`, and on the disk itself. @throws the signal's reason when it is aborted meanwhile. */
  async verify(digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.#algorithm !== algorithmOf(digest)) this.#startOver(algorithmOf(digest))
    return await this.#local(async () => {
      const file = await this.#openFile()
      try {
        const hash = await this.#hashOf(file, signal)
        // What an earlier process wrote may be in the page cache alone.
        if (this.#synced < this.#offset) await this.#sync(file)
        const matches = digestMatches(digest, hash)
        this.#startOver(this.#algorithm) // a finished hash is of no further use
        return matches
      } finally {
        await file.close()
      }
    }, signal)
  }

  /** Throws away what has arrived. */
  async discard(): Promise<void> {
    // The file first: a row without a file is an empty session, a file without a row would be in the way unseen.
    await unlink(this.path).catch(ignoreMissing)
    this.forget()
  }

  /** The session's file has become a blob. */
  forget(): void {
    this.#context.rows.remove(this.id)
  }

  async #openForWriting(length: number | undefined, signal: AbortSignal): Promise<AppendFile> {
    const { rows, syncBytes, bootId } = this.#context
    const file = await this.#openFile()
    try {
      // The boot is on record before the first byte: a byte that came with this boot must not be trusted after the next.
      rows.open(this.id, { algorithm: this.#algorithm, synced: this.#synced, bootId })
      const hash = await this.#hashOf(file, signal)
      const at = { position: this.#offset, synced: this.#synced }
      return new AppendFile(file, at, {
        buffers: new BlockBuffers(length),
        syncBytes,
        syncMs,
        taken: bytes => {
          hash.update(bytes)
          this.#hashed += bytes.byteLength
        },
        synced: offset => {
          rows.record(this.id, offset)
          this.#synced = offset
        },
        broken: offset => this.#distrust(offset),
      })
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** The file, with the bytes that count and no others: a disk that failed may have left more. */
  async #openFile(): Promise<FileHandle> {
    const file = await open(this.path, openFlags, 0o644)
    try {
      const { size } = await file.stat()
      if (size < this.#offset) throw new Error(`the file of upload ${this.id} has ${size} of ${this.#offset} bytes`)
      if (size > this.#offset) {
        await file.truncate(this.#offset)
        await file.datasync()
      }
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** The running hash over everything so far, made from the file where it isn't at hand. */
  async #hashOf(file: FileHandle, signal: AbortSignal): Promise<Hash> {
    if (this.#hash !== undefined && this.#hashed === this.#offset) return this.#hash
    this.#startOver(this.#algorithm)
    const hash = createHash(this.#algorithm)
    await hashFile(file, hash, this.#offset, signal)
    this.#hash = hash
    this.#hashed = this.#offset
    return hash
  }

  async #sync(file: FileHandle): Promise<void> {
    try {
      await file.datasync()
      this.#synced = this.#offset
    } catch (error) {
      this.#distrust(this.#synced)
      this.#fallBack() // the next sync would know nothing of the pages that this one has lost
      throw error
    }
  }

  /** After a sync that failed, a later process of this boot takes the file as after a reboot. */
  #distrust(synced: number): void {
    const { rows, logger } = this.#context
    const note = () => rows.open(this.id, { algorithm: this.#algorithm, synced, bootId: undefined })
    this.#synced = noteLostPages(this.path, note, logger) ? synced : 0
  }

  /** Only what is synced counts, and not the running hash. */
  #fallBack(): void {
    this.#offset = this.#synced
    this.#startOver(this.#algorithm)
  }

  #startOver(algorithm: DigestAlgorithm): void {
    this.#algorithm = algorithm
    this.#hash = undefined
    this.#hashed = 0
  }

  /** Bytes that could not be written are forgotten: the client is told a smaller offset and sends them again. */
  async #close(file: AppendFile): Promise<void> {
    try {
      await file.flush()
    } catch (error) {
      // A full disk took what it took.
      if (localError(error, '').code === 'NO_SPACE') this.#offset = file.written
      else this.#fallBack()
      throw error
    } finally {
      await file.close().finally(() => {
        if (file.isBroken) this.#fallBack() // only now has the last sync ended
      })
    }
  }

  async #local<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      throw localError(error, `write upload ${this.id}`)
    }
  }
}

function checkRoom(end: number, wanted: number, maxBytes: number): void {
  if (end > wanted) throw new UploadError('LENGTH', 'more bytes came than the request said')
  if (end > maxBytes) throw new UploadError('TOO_LARGE', `a blob may have ${maxBytes} bytes at most here`)
}
