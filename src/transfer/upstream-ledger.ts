/**
 * What was asked of each upstream and what came of it, since the start, with the health that outlives it: for metrics, `status` and `why`.
 * Made by agent.ts, filled by the transfer.
 */
import type { ImageError } from '../oci/errors.ts'
import { type HostHealth, SourceHealth } from './source-health.ts'

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
  readonly health: SourceHealth
  readonly #figures = new Map<string, UpstreamFigures>()
  readonly #now: () => number
  #blobsFetched = 0

  constructor({ health = new SourceHealth(), now = Date.now }: { health?: SourceHealth; now?: () => number } = {}) {
    this.health = health
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

  /** Every host that was asked since the start, and those that are known from before it. */
  list(): readonly (UpstreamFigures & HostHealth)[] {
    const hosts = new Set([...this.#figures.keys(), ...this.health.hosts()])
    return [...hosts].slice(0, maxHosts).map(host => ({
      ...(this.#figures.get(host) ?? { host, requests: 0, receivedBytes: 0, lastError: null }),
      ...this.health.of(host),
    }))
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
