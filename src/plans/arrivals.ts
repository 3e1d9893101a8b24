/** How much of some blobs is here, each counted up to its size. Used by run-report.ts, for a pass and for each of its images, and by sync-tag.ts. */
import type { Descriptor } from '../oci/descriptor.ts'

export class Arrivals {
  /** Sizes of the blobs that count. */
  readonly #wanted: ReadonlyMap<string, number>
  readonly #here = new Map<string, number>()
  #bytes = 0

  constructor(wanted: readonly Descriptor[]) {
    this.#wanted = new Map(wanted.map(blob => [blob.digest, blob.size]))
  }

  /** All of them together. */
  get bytes(): number {
    return this.#bytes
  }

  add(blob: Descriptor, bytes: number): void {
    this.set(blob, (this.#here.get(blob.digest) ?? 0) + bytes)
  }

  set(blob: Descriptor, bytes: number): void {
    const size = this.#wanted.get(blob.digest)
    if (size === undefined) return
    const here = Math.min(bytes, size)
    this.#bytes += here - (this.#here.get(blob.digest) ?? 0)
    this.#here.set(blob.digest, here)
  }
}
