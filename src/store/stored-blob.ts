/** A complete blob, open for reading. Opened by content.ts; read by the registry's read side and by uploads. */
import { type FileHandle, open, stat } from 'node:fs/promises'

/** A blob's file, open. It keeps its content though the blob is removed meanwhile. Whoever opened it closes it. */
export class StoredBlob {
  /** Bytes. */
  readonly size: number
  /** Of its file: another one under the same name has another. */
  readonly inode: number
  readonly #file: FileHandle

  constructor(file: FileHandle, facts: { readonly size: number; readonly ino: number }) {
    this.#file = file
    this.size = facts.size
    this.inode = facts.ino
  }

  /** Fills `buffer` from `position` on; answers how many bytes came, 0 at the end. For readers that bring reused buffers. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.byteLength, position)
    return bytesRead
  }

  /** All of a small blob. */
  async bytes(): Promise<Uint8Array> {
    return await this.#file.readFile()
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** Opens a blob's file, or answers undefined when there is none. */
export async function openStoredBlob(path: string): Promise<StoredBlob | undefined> {
  const file = await open(path, 'r').catch(ignoreMissing)
  if (file === undefined) return undefined
  try {
    return new StoredBlob(file, await file.stat())
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Bytes of a file, or undefined where there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  return (await stat(path).catch(ignoreMissing))?.size
}

/** For `catch`: a file that isn't there is no answer; anything else is a failure. */
export function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
  throw error
}
