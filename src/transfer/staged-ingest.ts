/**
 * A blob that arrives in the staging folder and goes on from there into the external registry: while it still comes, where it comes
 * fast enough. Opened by external-blobs.ts, written by blob-fetcher.ts.
 */
import { performance } from 'node:perf_hooks'
import type { Descriptor } from '../oci/descriptor.ts'
import type { BlobIngest } from '../store/ingest.ts'
import type { Ingest } from './local.ts'
import type { ReadAt } from './send-buffers.ts'

/**
 * A blob is followed from so many bytes on, if as many come in a second. A slower one's upload would only wait, on a connection that
 * somebody closes.
 */
const leadBytes = 4 * 1024 * 1024

export interface StagedIngestOptions {
  /** Makes the bytes a blob of the registry; tells whether they are, and rejects never. */
  readonly send: (bytes: ReadAt, signal: AbortSignal) => Promise<boolean>
  /** Whether one more upload may go on beside a transfer. */
  readonly mayFollow: () => boolean
  /** Ends the upload. */
  readonly signal: AbortSignal
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

export class StagedIngest implements Ingest {
  readonly #ingest: BlobIngest
  readonly #options: StagedIngestOptions
  readonly #bytes: ArrivingBytes
  readonly #closing = new AbortController()
  readonly #now: () => number
  readonly #openedAt: number
  /** Whether the upload may still begin before the end. */
  #mayFollow: boolean
  #sent: Promise<boolean> | undefined

  constructor(ingest: BlobIngest, options: StagedIngestOptions) {
    this.#ingest = ingest
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#openedAt = this.#now()
    this.#bytes = new ArrivingBytes(ingest)
    // What goes on where it was cut may be cut again, and each cut would send all of it anew
    this.#mayFollow = ingest.offset === 0 && ingest.descriptor.size > leadBytes
  }

  get descriptor(): Descriptor {
    return this.#ingest.descriptor
  }

  get offset(): number {
    return this.#ingest.offset
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#ingest.write(chunk)
    this.#bytes.came()
    if (this.#mayFollow && this.#ingest.written >= leadBytes) this.#follow()
  }

  /**
   * Verifies the content and hands it over to the registry; what that won't take now is kept in the staging folder, durably. What it
   * has taken need not be: until then a kill leaves the file, and a power loss what was synced on the way.
   */
  async commit(): Promise<void> {
    await this.#ingest.verify()
    this.#bytes.verified()
    this.#sent ??= this.#send()
    await ((await this.#sent) ? this.#ingest.discard() : this.#ingest.commit())
  }

  async discard(): Promise<void> {
    this.#stop()
    await this.#ingest.discard()
  }

  async close(): Promise<void> {
    this.#stop()
    await this.#ingest.close()
  }

  /** As soon as there is room for one more upload, if the blob comes fast. */
  #follow(): void {
    const perSecond = (this.#ingest.written * 1000) / (this.#now() - this.#openedAt)
    this.#mayFollow = perSecond >= leadBytes
    if (!this.#mayFollow || !this.#options.mayFollow()) return
    this.#mayFollow = false
    this.#sent = this.#send()
  }

  #send(): Promise<boolean> {
    return this.#options.send(this.#bytes, AbortSignal.any([this.#options.signal, this.#closing.signal]))
  }

  #stop(): void {
    this.#mayFollow = false
    this.#closing.abort(new Error('the ingest is closed'))
    this.#bytes.end()
  }
}

/**
 * The bytes of an ingest as far as they are there, for one reader: whole buffers only, and the last bytes not before all of them are
 * verified. So whatever the registry makes of them, wrong content never reaches it as a whole.
 */
class ArrivingBytes implements ReadAt {
  readonly #ingest: BlobIngest
  #isVerified = false
  #hasEnded = false
  #changed = Promise.withResolvers<void>()

  constructor(ingest: BlobIngest) {
    this.#ingest = ingest
  }

  get size(): number {
    return this.#ingest.descriptor.size
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const end = Math.min(position + buffer.byteLength, this.size)
    while (!this.#isThere(end)) {
      if (this.#hasEnded) throw new Error('the ingest was closed before its end')
      await this.#changed.promise
    }
    return await this.#ingest.read(buffer.subarray(0, end - position), position)
  }

  came(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  verified(): void {
    this.#isVerified = true
    this.came()
  }

  end(): void {
    this.#hasEnded = true
    this.came()
  }

  #isThere(end: number): boolean {
    return this.#isVerified || (end < this.size && end <= this.#ingest.written)
  }
}
