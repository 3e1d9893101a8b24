/** A file that is made with its first bytes: for what comes all at once, that is when it is whole. Used by ingest.ts. */
import { type FileHandle, open } from 'node:fs/promises'
import type { AppendTarget } from './append-file.ts'

export class NewFile implements AppendTarget {
  readonly #path: string
  readonly #made: () => void
  #file: FileHandle | undefined

  /** `made` is called once, when the file is there and empty, before its first byte. */
  constructor(path: string, made: () => void) {
    this.#path = path
    this.#made = made
  }

  /** Undefined before the file is there. */
  get fd(): number | undefined {
    return this.#file?.fd
  }

  async write(buffer: Uint8Array, offset: number, length: number, position: number) {
    const file = this.#file ?? (await this.#make())
    return await file.write(buffer, offset, length, position)
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number) {
    return (await this.#file?.read(buffer, offset, length, position)) ?? { bytesRead: 0, buffer }
  }

  async datasync(): Promise<void> {
    await this.#file?.datasync()
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }

  /** What a crash left under the name is not to be trusted and is cut. */
  async #make(): Promise<FileHandle> {
    const file = await open(this.#path, 'w+', 0o644)
    try {
      this.#made()
    } catch (error) {
      await file.close()
      throw error
    }
    this.#file = file
    return file
  }
}
