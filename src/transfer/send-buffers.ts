/**
 * The memory that a blob is sent from, used over and over: memory made anew for every chunk costs several times what sending it does.
 * Used by external-blobs.ts and staged-ingest.ts.
 */
import type { BlockBuffers } from '../store/append-file.ts'

/** What can be read at any place: a stored blob, or one that still arrives. */
export interface ReadAt {
  /** Bytes. */
  readonly size: number
  /** Fills `buffer` from `position` on; answers how many bytes came, 0 at the end. */
  read(buffer: Uint8Array, position: number): Promise<number>
}

/**
 * A request's stream holds one chunk, and another one waits in the socket: chunks are larger than what a socket takes in advance. So
 * when a chunk is asked for, the third one before it is gone; a fourth buffer is to spare.
 */
const ringSize = 4

/** The buffers of one upload, in turn. */
export class SendBuffers {
  readonly #pool: BlockBuffers
  /** Those that hold something that was sent, the oldest first; one that is being filled is not among them. */
  readonly #ring: Buffer[] = []

  constructor(pool: BlockBuffers) {
    this.#pool = pool
  }

  /** The source's bytes from `start` on. Each chunk is good until three more have been asked for. */
  async *chunks(source: ReadAt, start: number): AsyncGenerator<Uint8Array> {
    for (let position = start; position < source.size; ) {
      const buffer = this.#next()
      const count = await source.read(buffer, position)
      // Only now: a request may be over while this waits, and the next one, or another upload, must not get what is still to be filled
      this.#ring.push(buffer)
      if (count === 0) throw new Error(`the file of the blob ends at byte ${position}, before byte ${source.size}`)
      yield buffer.subarray(0, count)
      position += count
    }
  }

  /** For others to use, once a request was answered well. What a failed one may still be sending from is never used again. */
  giveBack(): void {
    for (const buffer of this.#ring.splice(0)) this.#pool.give(buffer)
  }

  #next(): Buffer {
    const oldest = this.#ring.length < ringSize ? undefined : this.#ring.shift()
    return oldest ?? this.#pool.take()
  }
}
