/**
 * A blob that is still arriving: a file and an offset. Bytes are appended, synced, then the offset is recorded, never the other way
 * round. Opened by open-ingest.ts, written by transfer/.
 */
import type { Hash } from 'node:crypto'
import { renameSync, statSync } from 'node:fs'
import { type FileHandle, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestMatches, hasherFor, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import type { Ingests } from '../state/ingests.ts'
import { AppendFile, type BlockBuffers } from './append-file.ts'
import type { DirectCalls } from './direct-calls.ts'
import type { FolderSyncs } from './folder-syncs.ts'
import { IngestFile } from './ingest-file.ts'
import { blobPath, ingestPath, localError } from './layout.ts'
import { noteLostPages } from './lost-pages.ts'
import { ignoreMissing } from './stored-blob.ts'

export interface IngestContext {
  readonly root: string
  readonly ingests: Ingests
  readonly buffers: BlockBuffers
  readonly calls: DirectCalls
  readonly folders: FolderSyncs
  readonly logger: Logger
  /** Sync and record the offset after so many bytes. */
  readonly syncBytes: number
  /** This boot of the machine, or undefined where that can't be known. */
  readonly bootId: string | undefined
  /** The hash of what this process has written of the blob already, if it still has it. */
  readonly resting: RestingHash | undefined
  /** Called once, when the ingest has let go of its file. */
  readonly ended: (end: IngestEnd) => void
}

/** How an ingest ended: its blob is complete, or `kept` bytes wait for the next opening. */
export interface IngestEnd {
  readonly committed: boolean
  readonly kept: number
  /** Bytes of the same blob that somebody else had completed meanwhile. */
  readonly replaced: number
  /** Of the kept bytes, where all that was taken is kept. */
  readonly resting?: RestingHash
}

/** The running hash of a blob's first bytes: with it, the next opening need not read them again. */
export interface RestingHash {
  readonly hash: Hash
  readonly bytes: number
}

/** Sync at least so often while bytes come: on a thin link, `syncBytes` would be minutes of work. */
const syncMs = 10_000

export class BlobIngest {
  readonly descriptor: Descriptor
  readonly #context: IngestContext
  readonly #handle: IngestFile
  readonly #file: AppendFile
  readonly #hash: Hash
  /** Whether the ledger has a row of it. */
  #recorded: boolean
  /** Its file was removed, for what it holds may not be trusted. */
  #isLost = false
  /** How far a commit has come; one that failed on a full disk goes on from there. */
  #verified = false
  #moved = false
  #replaced = 0
  #committing = false
  #state: 'open' | 'committed' | 'gone' | 'closed' = 'open'

  /** @param found the file of an earlier ingest, whose row is there; without one, this begins. */
  constructor(
    descriptor: Descriptor,
    found: { file: FileHandle; hash: Hash; position: number; synced: number } | undefined,
    context: IngestContext,
  ) {
    this.descriptor = descriptor
    this.#context = context
    this.#recorded = found !== undefined
    const hash = found?.hash ?? hasherFor(descriptor.digest)
    this.#hash = hash
    this.#handle = new IngestFile({
      path: ingestPath(context.root, descriptor.digest),
      found: found?.file,
      calls: context.calls,
      made: () => this.#begin(),
    })
    this.#file = new AppendFile(this.#handle, found ?? { position: 0, synced: 0 }, {
      buffers: context.buffers,
      syncBytes: context.syncBytes,
      syncMs,
      taken: bytes => hash.update(bytes),
      synced: offset => {
        if (this.#recorded && this.#state !== 'gone') context.ingests.record(descriptor.digest, offset)
      },
      broken: offset => {
        if (this.#state !== 'gone') this.#distrust(offset)
      },
    })
  }

  /** Bytes that this ingest has taken; the next chunk goes here. After `NO_SPACE`, writing goes on from here. */
  get offset(): number {
    return this.#file.end
  }

  /** Bytes that are in the file, where {@link read} finds them. */
  get written(): number {
    return this.#file.written
  }

  /** Fills `buffer` from `position` on with what is {@link written}; answers how many bytes came. Nothing of it is verified before {@link verify}. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    return await this.#handle.read(buffer, position)
  }

  /**
   * Appends. Resolves when the chunk's memory may be reused.
   * @throws ImageError `SIZE_MISMATCH` for a chunk that goes beyond the descriptor's size (nothing of it is taken), `NO_SPACE`.
   */
  async write(chunk: Uint8Array): Promise<void> {
    this.#expectOpen('write')
    const { size } = this.descriptor
    if (this.offset + chunk.byteLength > size) {
      throw new ImageError(
        'SIZE_MISMATCH',
        `more bytes came than the ${size} that the descriptor of ${this.#name} says`,
      )
    }
    try {
      await this.#file.append(chunk)
    } catch (error) {
      throw localError(error, `write ingest of ${this.#name}`)
    }
  }

  /**
   * Verifies size and digest. It may be called again after `NO_SPACE`.
   * @throws ImageError `SIZE_MISMATCH` or `DIGEST_MISMATCH`; the content is then gone. `NO_SPACE`.
   */
  async verify(): Promise<void> {
    this.#expectOpen('verify')
    if (this.#verified) return
    if (this.offset !== this.descriptor.size) {
      const message = `${this.offset} bytes came, but the descriptor of ${this.#name} says ${this.descriptor.size}`
      await this.discard()
      throw new ImageError('SIZE_MISMATCH', message)
    }
    await this.#local('verify', () => this.#file.writeOut())
    if (!digestMatches(this.descriptor.digest, this.#hash)) {
      await this.discard()
      throw new ImageError('DIGEST_MISMATCH', `the ${this.descriptor.size} bytes that came are not ${this.#name}`)
    }
    this.#verified = true
  }

  /** {@link verify}, then makes the blob visible, durably. Throws the same. */
  async commit(): Promise<void> {
    if (this.#state === 'committed') return
    this.#committing = true
    await this.verify()
    await this.#local('commit', () => this.#file.flush())
    await this.#local('commit', () => this.#publish())
  }

  /** Throws what has arrived away. */
  async discard(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'gone'
    const { root, ingests } = this.#context
    try {
      // The file first: a row without a file starts over, a file without a row would be in the way unseen.
      await unlink(ingestPath(root, this.descriptor.digest)).catch(ignoreMissing)
      if (this.#recorded) ingests.remove(this.descriptor.digest)
    } finally {
      await this.#letGo({ committed: this.#moved, kept: 0, replaced: this.#replaced })
    }
  }

  /** Lets go of the file and keeps what has arrived for the next opening. Safe after commit and discard. */
  async close(): Promise<void> {
    if (this.#state !== 'open') return
    if (this.offset === 0 || this.#moved) return await this.discard()
    this.#state = 'closed'
    try {
      this.#record()
      await this.#file.flush()
    } catch (error) {
      // What only memory holds is fetched again; what the file holds stays.
      const isKept = this.#recorded && !this.#file.isBroken && this.#file.written === this.offset
      const what = isKept ? 'how much of an ingest is safe was not noted' : 'the end of an ingest was not kept'
      this.#context.logger.warn({ err: error, digest: this.descriptor.digest }, what)
    }
    if (!this.#recorded) await this.#endWithoutRow()
    const kept = this.#isLost ? 0 : this.#file.written
    const isWhole = !this.#file.isBroken && !this.#verified && kept === this.offset
    const resting = isWhole ? { hash: this.#hash, bytes: kept } : undefined
    await this.#letGo({ committed: false, kept, replaced: 0, ...(resting && { resting }) })
  }

  /**
   * The file has been made for the first bytes. Those of a small blob come with its commit: then it needs no row, for what a crash leaves
   * before the rename is a buffer's worth at most, and goes at the next start.
   */
  #begin(): void {
    if (!this.#committing) this.#record()
  }

  /** The boot is on record before the first byte: a byte that came with this boot must not be trusted after the next. */
  #record(): void {
    if (this.#recorded) return
    const { ingests, bootId } = this.#context
    ingests.open(this.descriptor.digest, { size: this.descriptor.size, synced: 0, bootId })
    this.#recorded = true
  }

  /** Nobody would look after a file without a row. A write that is under way may still make both. */
  async #endWithoutRow(): Promise<void> {
    await this.#file.close().catch(() => undefined)
    if (this.#recorded) return
    this.#isLost = true
    await unlink(ingestPath(this.#context.root, this.descriptor.digest)).catch(() => undefined)
  }

  /** After a sync that failed, the next opening takes the file as after a reboot. */
  #distrust(synced: number): void {
    const { root, ingests, logger } = this.#context
    const { digest, size } = this.descriptor
    const note = () => ingests.open(digest, { size, synced, bootId: undefined })
    if (noteLostPages(ingestPath(root, digest), note, logger)) this.#recorded = true
    else this.#isLost = true
  }

  /** A crash between any two of these steps leaves a blob that is whole, or an ingest that goes on; see ContentStore.start. */
  async #publish(): Promise<void> {
    const { root, ingests, folders, logger } = this.#context
    const { digest } = this.descriptor
    const target = blobPath(root, digest)
    if (!this.#moved) {
      this.#replaced = statSync(target, { throwIfNoEntry: false })?.size ?? 0
      renameSync(ingestPath(root, digest), target) // at once, so that the same blob from a client is counted once
    }
    this.#moved = true
    await folders.sync(dirname(target))
    this.#state = 'committed'
    try {
      if (this.#recorded) ingests.remove(digest)
    } catch (error) {
      logger.warn({ err: error, digest }, 'the row of a finished ingest stays until the next start')
    }
    await this.#letGo({ committed: true, kept: 0, replaced: this.#replaced })
  }

  /** Never throws: what has to be on the disk was synced before. */
  async #letGo(end: IngestEnd): Promise<void> {
    try {
      await this.#file.close()
    } catch (error) {
      this.#context.logger.warn({ err: error, digest: this.descriptor.digest }, 'the file of an ingest did not close')
    } finally {
      this.#context.ended(end)
    }
  }

  #expectOpen(verb: string): void {
    if (this.#state !== 'open') throw new ImageError('INTERNAL', `${verb} after the ingest of ${this.#name} has ended`)
  }

  async #local(verb: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw localError(error, `${verb} ingest of ${this.#name}`)
    }
  }

  get #name(): string {
    return shortDigest(this.descriptor.digest)
  }
}
