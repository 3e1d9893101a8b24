/** When index.json is written: some seconds after the first of many changes, once for all of them, and at the end. Used by store.ts. */
import type { Logger } from 'pino'

export interface IndexWriterOptions {
  /** Writes the file from the database as it is now. */
  readonly write: () => Promise<void>
  /** Milliseconds between the first change and the write. */
  readonly delayMs: number
  readonly logger: Logger
}

/** After a write that failed (a full disk), the next try comes at the earliest so many milliseconds later. */
const retryMs = 30_000

export class IndexWriter {
  readonly #options: IndexWriterOptions
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #stale = false
  #changes = 0
  #stopped = false

  constructor(options: IndexWriterOptions) {
    this.#options = options
  }

  /** How often something has changed, since the start of the process. */
  get changes(): number {
    return this.#changes
  }

  /** Something that index.json tells has changed. Costs nothing however often it is called. */
  changed(): void {
    this.#changes += 1
    this.#stale = true
    if (this.#writing === undefined) this.#schedule(this.#options.delayMs)
  }

  /** Writes what is outstanding and ends. Never throws: the file is made again from the database at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#writing
    await this.#write()
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
      })
    }, delayMs)
    this.#timer.unref()
  }

  async #write(): Promise<void> {
    if (!this.#stale) return
    this.#stale = false
    let delayMs = this.#options.delayMs
    try {
      await this.#options.write()
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'index.json could not be written; it is tried again')
      this.#stale = true
      delayMs = Math.max(delayMs, retryMs)
    }
    if (this.#stale) this.#schedule(delayMs)
  }
}
