/**
 * What a registry said a moment ago when it was asked for a blob. The steps of one pass ask for the same content several times; a
 * question each would cost more than small blobs do. Used by local-external.ts.
 */
import { performance } from 'node:perf_hooks'
import type { Digest } from '../oci/digest.ts'

/** Long enough for the steps of a pass, short against everything that changes a registry from outside. */
const maxAgeMs = 30_000
/** A pass over some hundred images; beyond that the oldest are asked for again. */
const maxEntries = 10_000

export class RecentLookups {
  readonly #answers = new Map<string, { readonly there: boolean; readonly at: number }>()
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
    const key = keyOf(repository, digest)
    this.#answers.delete(key) // so that the order is that of age
    this.#answers.set(key, { there, at: this.#now() })
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= maxEntries) break
      this.#answers.delete(oldest)
    }
  }

  /** Something did not fit what was remembered: everything is asked for anew. */
  forget(): void {
    this.#answers.clear()
  }
}

function keyOf(repository: string, digest: Digest): string {
  return `${repository}@${digest}`
}
