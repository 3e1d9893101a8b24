/**
 * What a registry said a moment ago when it was asked for a blob. The steps of one pass ask for the same content several times; a
 * question each would cost more than small blobs do. Used by external-blobs.ts.
 */
import { performance } from 'node:perf_hooks'
import type { Digest } from '../oci/digest.ts'

/** Long enough for the steps of a pass, short against everything that changes a registry from outside. */
const maxAgeMs = 30_000
/** For what the registry itself took, which nobody but its operator takes away: long enough for the other blobs of an image to come. */
const takenMaxAgeMs = 10 * 60_000
/** A pass over some hundred images; beyond that the oldest are asked for again. */
const maxEntries = 10_000

export class RecentLookups {
  readonly #answers = new Map<string, { readonly there: boolean; readonly at: number }>()
  /** When it acknowledged what it was given. */
  readonly #taken = new Map<string, { readonly at: number }>()
  readonly #now: () => number

  /** `now` is monotonic, in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** The answer, or nothing where it has to be asked for. */
  find(repository: string, digest: Digest): boolean | undefined {
    const answer = this.#answers.get(keyOf(repository, digest))
    return answer !== undefined && this.#now() - answer.at < maxAgeMs ? answer.there : undefined
  }

  record(repository: string, digest: Digest, there: boolean): void {
    const now = this.#now()
    keep(this.#answers, keyOf(repository, digest), { there, at: now }, now - maxAgeMs)
  }

  /** The registry has acknowledged the blob: it is there, and need not be asked for once more to be sure of it. */
  recordTaken(repository: string, digest: Digest): void {
    this.record(repository, digest, true)
    const now = this.#now()
    keep(this.#taken, keyOf(repository, digest), { at: now }, now - takenMaxAgeMs)
  }

  /** Whether the registry acknowledged the blob lately. Each acknowledgement counts once. */
  useTaken(repository: string, digest: Digest): boolean {
    const key = keyOf(repository, digest)
    const taken = this.#taken.get(key)
    this.#taken.delete(key)
    return taken !== undefined && this.#now() - taken.at < takenMaxAgeMs
  }

  /** How much is remembered. */
  get size(): number {
    return this.#answers.size + this.#taken.size
  }

  /** Something did not fit what was remembered: everything is asked for anew. */
  forget(): void {
    this.#answers.clear()
    this.#taken.clear()
  }
}

/** Remembers the entry, and none longer that is from `past` or before. */
function keep<T extends { readonly at: number }>(entries: Map<string, T>, key: string, entry: T, past: number): void {
  entries.delete(key) // so that the order is that of age
  entries.set(key, entry)
  for (const [oldest, { at }] of entries) {
    if (entries.size <= maxEntries && at > past) break
    entries.delete(oldest)
  }
}

function keyOf(repository: string, digest: Digest): string {
  return `${repository}@${digest}`
}
