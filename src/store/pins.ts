/**
 * Content that collection must leave alone though nothing leads to it yet: what a running transfer is about to place, what a pushing
 * client was told to be here. In memory, since only work of this process can rely on it. Owned by content.ts, asked by collect.ts.
 */
import type { Digest } from '../oci/digest.ts'

/** Short pins are looked through for those that have run out once there are so many. */
const pruneAt = 10_000

export class Pins {
  readonly #held = new Map<Digest, number>()
  /** Monotonic milliseconds until which each stays. */
  readonly #until = new Map<Digest, number>()
  readonly #recent = new Map<Digest, number>()
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Keeps the content until the answer is called, from this very moment on: whoever then finds it present can rely on it. */
  hold(digests: Iterable<Digest>): () => void {
    const held = new Set(digests)
    for (const digest of held) this.#held.set(digest, (this.#held.get(digest) ?? 0) + 1)
    let released = false
    return () => {
      if (released) return
      released = true
      for (const digest of held) {
        const left = (this.#held.get(digest) ?? 1) - 1
        if (left === 0) this.#held.delete(digest)
        else this.#held.set(digest, left)
      }
    }
  }

  /** Keeps the content for so many milliseconds: for a client that was told of it and has no way to say that it is done. */
  holdFor(digest: Digest, ms: number): void {
    this.#prolong(this.#until, digest, ms)
  }

  /** Keeps the file alone for so long: bytes that were just written or looked at, which a row may be about to name. */
  touch(digest: Digest, ms: number): void {
    this.#prolong(this.#recent, digest, ms)
  }

  /** Manifests' rows need the content now, and keep it from here on: what was to wait for them has waited long enough. */
  named(digest: Digest): void {
    this.#recent.delete(digest)
    this.#until.delete(digest)
  }

  /** Whether rows and file of the content must stay. */
  has(digest: Digest): boolean {
    return this.#held.has(digest) || (this.#until.get(digest) ?? 0) > this.#now()
  }

  /** Whether the file must stay. */
  keepsFile(digest: Digest): boolean {
    return this.has(digest) || (this.#recent.get(digest) ?? 0) > this.#now()
  }

  #prolong(pins: Map<Digest, number>, digest: Digest, ms: number): void {
    const now = this.#now()
    if (pins.size >= pruneAt) for (const [key, until] of pins) if (until <= now) pins.delete(key)
    pins.set(digest, Math.max(pins.get(digest) ?? 0, now + ms))
  }
}
