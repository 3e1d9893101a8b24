/** Room on the disk for what arrives, beside a reserve that is never touched: asked for before the first byte of each blob. Used by blob-fetcher.ts. */
import { ImageError } from '../oci/errors.ts'

export interface DiskRoomOptions {
  /** Bytes that the disk can still take, or undefined where that can't be known. */
  readonly freeBytes: () => Promise<number | undefined>
  /** Bytes. */
  readonly reserve: number
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/** Room that was promised to one blob. */
export interface Claim {
  /** So many bytes of it are on the disk by now. */
  filled(bytes: number): void
  release(): void
}

/** For so long, what was free less what was written since is good enough to say yes; only the disk itself says no. Milliseconds. */
const lookMs = 500

export class DiskRoom {
  readonly #options: DiskRoomOptions
  readonly #now: () => number
  #looked: { readonly at: number; free: number } | undefined
  /** What each blob on its way has yet to write. */
  readonly #claims = new Set<{ left: number }>()

  constructor(options: DiskRoomOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** Bytes that new content may take, or undefined where that can't be known. */
  async freeBytes(): Promise<number | undefined> {
    const free = await this.#look()
    return free === undefined ? undefined : Math.max(0, free - this.#options.reserve)
  }

  /**
   * Promises room for so many bytes, beside what others were promised.
   * @throws ImageError `NO_SPACE`, with what is missing.
   */
  async claim(bytes: number): Promise<Claim> {
    const isRecent = this.#looked !== undefined && this.#now() - this.#looked.at < lookMs
    if (!isRecent || this.#missing(bytes, this.#looked?.free) > 0) await this.#look()
    const free = this.#looked?.free
    const missing = this.#missing(bytes, free)
    if (bytes > 0 && missing > 0) {
      const beside = this.#options.reserve > 0 ? `, with ${this.#options.reserve} in reserve` : ''
      const message = `${bytes} bytes are to come, ${free} are free${beside}: ${missing} bytes are missing`
      throw new ImageError('NO_SPACE', message, { side: 'local' })
    }
    const claim = { left: bytes }
    this.#claims.add(claim)
    return {
      filled: count => {
        claim.left = Math.max(0, claim.left - count)
        if (this.#looked) this.#looked.free -= count
      },
      release: () => {
        this.#claims.delete(claim)
      },
    }
  }

  #missing(bytes: number, free: number | undefined): number {
    if (free === undefined) return 0
    const promised = [...this.#claims].reduce((sum, { left }) => sum + left, 0)
    return bytes + promised + this.#options.reserve - free
  }

  async #look(): Promise<number | undefined> {
    const free = await this.#options.freeBytes()
    this.#looked = free === undefined ? undefined : { at: this.#now(), free }
    return free
  }
}
