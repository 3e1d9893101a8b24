/**
 * Which manifests readers take, so that cleanup knows what is in use. Told by the registry's read side at every pull: gathered in
 * memory and written once a minute in one transaction, so that serving costs no write.
 */
import type { Logger } from 'pino'
import type { Digest } from '../oci/digest.ts'
import type { UseRows } from '../state/uses.ts'

export interface UsesOptions {
  readonly rows: Pick<UseRows, 'record'>
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds between two writes. Default one minute. */
  readonly flushMs?: number
  /** How long after a reader took a manifest its content stays, so that a pull that has begun can end. Default 15 min. */
  readonly readerGraceMs?: number
}

const defaultFlushMs = 60_000
const defaultReaderGraceMs = 15 * 60_000

export class Uses {
  readonly #options: UsesOptions
  /** By repository, then digest: when a reader took it last, in epoch milliseconds. Never more than the store has manifests. */
  readonly #pulled = new Map<string, Map<Digest, number>>()
  /** Those of them that are not written yet. */
  #unwritten = new Map<string, { repository: string; digest: Digest; usedAt: number }>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: UsesOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => this.flush(), this.#options.flushMs ?? defaultFlushMs)
    this.#timer.unref()
  }

  /** Writes what is outstanding. */
  stop(): void {
    clearInterval(this.#timer)
    this.flush()
  }

  /** A reader takes the manifest. Costs no write. */
  pulled(repository: string, digest: Digest): void {
    const usedAt = this.#seen(repository, digest)
    this.#unwritten.set(`${repository}@${digest}`, { repository, digest, usedAt })
  }

  /** A reader was told of the manifest, and may come for it: not a use yet, but its content stays for now. */
  asked(repository: string, digest: Digest): void {
    this.#seen(repository, digest)
  }

  /** Manifests of the repository that a reader may still be pulling. */
  beingRead(repository: string): Digest[] {
    const since = this.#options.now() - (this.#options.readerGraceMs ?? defaultReaderGraceMs)
    const seen = this.#pulled.get(repository)
    if (seen === undefined) return []
    for (const [digest, at] of seen) if (at < since) seen.delete(digest)
    if (seen.size === 0) this.#pulled.delete(repository)
    return [...seen.keys()]
  }

  /** Writes the pulls since the last time. A failure is told and tried again with the next. */
  flush(): void {
    if (this.#unwritten.size === 0) return
    try {
      this.#options.rows.record(this.#unwritten.values())
      this.#unwritten = new Map()
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'the times of pulls could not be written; they are tried again')
    }
  }

  #seen(repository: string, digest: Digest): number {
    const now = this.#options.now()
    const seen = this.#pulled.get(repository)
    if (seen) seen.set(digest, now)
    else this.#pulled.set(repository, new Map([[digest, now]]))
    return now
  }
}
