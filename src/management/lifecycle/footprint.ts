/** What images take on disk, and what goes when some of them go: content that is shared goes with the last one that needs it. */
import type { Digest } from '../../oci/digest.ts'

export class Footprint {
  readonly #contents = new Map<string, ReadonlyMap<Digest, number>>()
  readonly #users = new Map<Digest, number>()

  /** Adds an image with its content: bytes by digest, whichever repository it is in. */
  add(name: string, contents: ReadonlyMap<Digest, number>): void {
    this.#contents.set(name, contents)
    for (const digest of contents.keys()) this.#users.set(digest, (this.#users.get(digest) ?? 0) + 1)
  }

  /** Takes an image away, and answers the bytes that nobody needs from then on. */
  remove(name: string): number {
    const contents = this.#contents.get(name)
    if (contents === undefined) return 0
    this.#contents.delete(name)
    let freed = 0
    for (const [digest, bytes] of contents) {
      const left = (this.#users.get(digest) ?? 1) - 1
      this.#users.set(digest, left)
      if (left === 0) freed += bytes
    }
    return freed
  }

  /** Bytes of an image's content, what it shares included. */
  bytesOf(name: string): number {
    let sum = 0
    for (const bytes of this.#contents.get(name)?.values() ?? []) sum += bytes
    return sum
  }
}
