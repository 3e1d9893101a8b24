/**
 * The file of an ingest. It is made with its first bytes: for what comes all at once, that is when it is whole. While the kernel's memory
 * takes and gives its bytes at once, they need no turn of the thread pool. Used by ingest.ts.
 */
import { readSync, writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { AppendTarget } from './append-file.ts'
import type { DirectCalls } from './direct-calls.ts'

export interface IngestFileOptions {
  readonly path: string
  /** The file as an earlier ingest left it; what it holds may be on the disk alone. */
  readonly found: FileHandle | undefined
  readonly calls: DirectCalls
  /** Called once, when a new file is there and empty, before its first byte. */
  readonly made: () => void
}

export class IngestFile implements AppendTarget {
  readonly #options: IngestFileOptions
  #file: FileHandle | undefined

  constructor(options: IngestFileOptions) {
    this.#options = options
    this.#file = options.found
  }

  async write(buffer: Uint8Array, offset: number, length: number, position: number) {
    const file = this.#file ?? (await this.#make())
    const { calls } = this.#options
    if (!calls.areFast) return await file.write(buffer, offset, length, position)
    return { bytesWritten: calls.make(() => writeSync(file.fd, buffer, offset, length, position)) }
  }

  /** Fills `buffer` from `position` on; answers how many bytes came. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { calls, found } = this.#options
    const file = this.#file
    if (file === undefined) return 0
    if (found === undefined && calls.areFast)
      return calls.make(() => readSync(file.fd, buffer, 0, buffer.byteLength, position))
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position)
    return bytesRead
  }

  async datasync(): Promise<void> {
    await this.#file?.datasync()
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }

  /** What a crash left under the name is not to be trusted and is cut. */
  async #make(): Promise<FileHandle> {
    const file = await open(this.#options.path, 'w+', 0o644)
    try {
      this.#options.made()
    } catch (error) {
      await file.close()
      throw error
    }
    this.#file = file
    return file
  }
}
