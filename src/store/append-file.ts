/**
 * Appends to a file as fast as its bytes come: small chunks are gathered in one buffer while the other is being written, every so
 * many bytes the file is synced beside that, and only then the caller is told how far it is safe. Used by ingest.ts.
 */

/** What is needed of the file: a FileHandle's methods. */
export interface AppendTarget {
  write(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>
  datasync(): Promise<void>
  close(): Promise<void>
}

export interface AppendFileOptions {
  readonly buffers: BlockBuffers
  /** Sync after so many bytes, whichever of the two comes first. */
  readonly syncBytes: number
  readonly syncMs: number
  /** Each byte once and in order, before it is told to be written or synced. The memory is reused afterwards. */
  readonly taken: (bytes: Uint8Array) => void
  /** The first `offset` bytes are on the disk itself. One that throws while bytes come is told of more with the next sync. */
  readonly synced: (offset: number) => void
  /** A sync has failed, and nothing beyond the first `offset` bytes is to be trusted any more. Called once, at once; it may not throw. */
  readonly broken: (offset: number) => void
}

/**
 * The memory that files gather their bytes in, used over and over: memory made anew for every blob is what the garbage collector
 * would work for most. One for all the files of a store.
 */
export class BlockBuffers {
  /** Of each buffer. */
  readonly bytes: number
  readonly #idle: Buffer[] = []

  /** @param most bytes that any file will take, where that is known: smaller ones then need less memory. */
  constructor(most = blockBytes) {
    this.bytes = Math.max(1, Math.min(blockBytes, most))
  }

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.bytes)
  }

  /** Takes a buffer back that nobody reads or writes any more. */
  give(buffer: Buffer): void {
    if (this.#idle.length < maxIdle) this.#idle.push(buffer)
  }
}

const blockBytes = 256 * 1024
/** Two for each of eight files; more are let go of. */
const maxIdle = 16

/**
 * On a slow link, chunks come further apart than this many milliseconds and each is written at once, so that a kill loses next to nothing;
 * on a fast one they gather until the buffer is full, and a small file is written once.
 */
const gatherMs = 5

export class AppendFile {
  readonly #file: AppendTarget
  readonly #options: AppendFileOptions
  #filling: Buffer | undefined
  #filled = 0
  /** The buffer whose bytes are being written, and what is left of them; a failed write leaves the rest for the next try. */
  #writing: Buffer | undefined
  #block: Buffer = Buffer.alloc(0)
  #position: number
  #synced: number
  /** What the caller knows of that. */
  #told: number
  /** What the last sync that was begun will make safe. */
  #syncedFrom: number
  #running: Promise<void> | undefined
  #failed = false
  /** The one try again after that, for all who wait for it. */
  #retrying: Promise<void> | undefined
  /** The sync under way while writing goes on. It never rejects; that it failed is told by the next #settle. */
  #syncing: Promise<void> | undefined
  /** Why a sync failed. It may have dropped pages for good, and a kernel tells that once: no later sync is to be believed. */
  #broken: unknown
  /** When the file was last written to, or its first chunk came. */
  #writtenAt: number | undefined
  #syncedAt = performance.now()

  /** `position` is where the file ends; `synced` how much of it is on the disk itself. */
  constructor(file: AppendTarget, at: { position: number; synced: number }, options: AppendFileOptions) {
    this.#file = file
    this.#position = at.position
    this.#synced = at.synced
    this.#told = at.synced
    this.#syncedFrom = at.synced
    this.#options = options
  }

  /** Where the next byte goes. */
  get end(): number {
    return this.#position + this.#block.byteLength + this.#filled
  }

  /** Bytes that are in the file: what a kill leaves. */
  get written(): number {
    return this.#position
  }

  /** Bytes that are on the disk itself: what a power loss leaves. */
  get synced(): number {
    return this.#synced
  }

  /** Whether a sync has failed: of what the file holds, only what is {@link synced} can be trusted, however well the rest reads. */
  get isBroken(): boolean {
    return this.#broken !== undefined
  }

  /**
   * Takes a chunk; its memory is the caller's again once this resolves. A write that failed is tried again by the next call, so
   * when one throws, {@link end} says how much was taken.
   */
  async append(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.byteLength > 0) {
      if (this.#filled === this.#filling?.byteLength) await this.#turn()
      this.#filling ??= this.#options.buffers.take()
      const part = rest.subarray(0, this.#filling.byteLength - this.#filled)
      this.#filling.set(part, this.#filled)
      this.#filled += part.byteLength
      rest = rest.subarray(part.byteLength)
    }
    const now = performance.now()
    this.#writtenAt ??= now
    const idle = this.#running === undefined && now - this.#writtenAt >= gatherMs
    if (idle && this.#filled > 0) await this.#turn()
  }

  /** Resolves when everything that was taken is in the file, where a kill leaves it; a power loss may not. */
  async writeOut(): Promise<void> {
    if (this.#filled > 0) await this.#turn()
    await this.#settle()
  }

  /** Resolves when everything that was taken is on the disk itself, and the caller was told. */
  async flush(): Promise<void> {
    await this.writeOut()
    await this.#syncing
    if (this.#told < this.#position) await this.#sync()
  }

  /** Waits for what is under way and closes the file; what only the buffer holds is lost without a {@link flush}. */
  async close(): Promise<void> {
    await this.#running
    await this.#syncing
    if (this.#filling) this.#options.buffers.give(this.#filling)
    this.#filling = undefined
    await this.#file.close()
  }

  /** Hands the buffer to the disk; the next chunk goes into another one. */
  async #turn(): Promise<void> {
    await this.#settle()
    if (!this.#filling) return
    const taken = this.#filling.subarray(0, this.#filled)
    this.#block = taken
    this.#writing = this.#filling
    this.#filling = undefined
    this.#filled = 0
    this.#writtenAt = performance.now()
    this.#running = this.#write()
      .catch(() => {
        this.#failed = true // told by the next #settle, whose own try says how it stands then
      })
      .finally(() => {
        this.#running = undefined
      })
    this.#options.taken(taken) // while the disk works, where the pool writes
  }

  /** Waits for the write under way, and tries it again where it failed. */
  async #settle(): Promise<void> {
    await this.#running
    this.#expectUnbroken()
    if (this.#failed) this.#retrying ??= this.#writeAgain()
    await this.#retrying
  }

  async #writeAgain(): Promise<void> {
    try {
      await this.#write()
      this.#failed = false
    } finally {
      this.#retrying = undefined
    }
  }

  async #write(): Promise<void> {
    while (this.#block.byteLength > 0) {
      const { bytesWritten } = await this.#file.write(this.#block, 0, this.#block.byteLength, this.#position)
      this.#position += bytesWritten
      this.#block = this.#block.subarray(bytesWritten)
    }
    if (this.#writing) this.#options.buffers.give(this.#writing)
    this.#writing = undefined
    await this.#syncIfDue()
  }

  /** One sync at a time: where the next one is due before the last has ended, the disk can't keep up, and writing waits for it. */
  async #syncIfDue(): Promise<void> {
    if (this.#position - this.#syncedFrom < this.#options.syncBytes && !this.#isLate()) return
    await this.#syncing
    if (this.isBroken) return // told by the next #settle
    this.#syncing = this.#sync()
      .catch(() => {
        // A disk that failed is told by the next #settle. That the caller could not note an offset costs bytes after a power loss, no more.
      })
      .finally(() => {
        this.#syncing = undefined
      })
  }

  #isLate(): boolean {
    return performance.now() - this.#syncedAt >= this.#options.syncMs
  }

  async #sync(): Promise<void> {
    this.#expectUnbroken()
    const offset = this.#position
    this.#syncedFrom = offset
    this.#syncedAt = performance.now()
    try {
      await this.#file.datasync()
    } catch (error) {
      this.#broken = error
      this.#options.broken(this.#synced)
      throw error
    }
    this.#synced = offset
    this.#options.synced(offset)
    this.#told = offset
  }

  #expectUnbroken(): void {
    if (this.isBroken) throw this.#broken
  }
}
