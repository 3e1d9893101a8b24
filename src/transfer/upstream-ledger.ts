/** What was asked of each upstream and what came of it, since the start: for metrics and for `status`. Made by agent.ts, filled by the transfer. */
import type { ImageError } from '../oci/errors.ts'

/** One upstream host's figures. */
export interface UpstreamFigures {
  readonly host: string
  requests: number
  /** Bytes of content that crossed the wire, of failed tries too. */
  receivedBytes: number
  lastError: { readonly at: string; readonly code: string; readonly message: string } | null
}

/** Plans can name any host; the figures of so many are kept. */
const maxHosts = 200

export class UpstreamLedger {
  readonly #figures = new Map<string, UpstreamFigures>()
  readonly #now: () => number
  #blobsFetched = 0

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  requested(host: string): void {
    this.#of(host).requests++
  }

  received(host: string, bytes: number): void {
    this.#of(host).receivedBytes += bytes
  }

  failed(host: string, error: ImageError): void {
    this.#of(host).lastError = { at: new Date(this.#now()).toISOString(), code: error.code, message: error.message }
  }

  blobFetched(): void {
    this.#blobsFetched++
  }

  get blobsFetched(): number {
    return this.#blobsFetched
  }

  list(): readonly UpstreamFigures[] {
    return [...this.#figures.values()]
  }

  #of(host: string): UpstreamFigures {
    const known = this.#figures.get(host)
    if (known) return known
    const made: UpstreamFigures = { host, requests: 0, receivedBytes: 0, lastError: null }
    this.#figures.set(host, made)
    for (const oldest of this.#figures.keys()) {
      if (this.#figures.size <= maxHosts) break
      this.#figures.delete(oldest)
    }
    return made
  }
}
