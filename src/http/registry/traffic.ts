/** What the registry's readers have taken and its clients have pushed, counted since the start. Metrics read it; the routes write it. */
export class Traffic {
  #pulls = 0
  #failedPulls = 0
  #servedBytes = 0
  #readers = 0
  #pushes = 0
  #failedPushes = 0
  #pushedBytes = 0

  /** Manifests sent. A node that pulls an index takes two: the index, and its own platform's manifest. */
  get pulls(): number {
    return this.#pulls
  }

  /** Manifests that readers asked for and did not get: unknown here, or not readable. */
  get failedPulls(): number {
    return this.#failedPulls
  }

  /** Bytes of blobs and manifests sent. */
  get servedBytes(): number {
    return this.#servedBytes
  }

  /** Manifests that clients pushed and the registry took. */
  get pushes(): number {
    return this.#pushes
  }

  /** Requests of pushes that came to nothing: refused, broken off, or not what their digest says. A caller without the right is none. */
  get failedPushes(): number {
    return this.#failedPushes
  }

  /** Bytes of the blobs and manifests that were pushed, each counted when it is whole. */
  get pushedBytes(): number {
    return this.#pushedBytes
  }

  /** Blobs that are being sent now. */
  get readers(): number {
    return this.#readers
  }

  beginReading(): void {
    this.#readers += 1
  }

  endReading(): void {
    this.#readers -= 1
  }

  countPull(): void {
    this.#pulls += 1
  }

  countFailedPull(): void {
    this.#failedPulls += 1
  }

  countBytes(bytes: number): void {
    this.#servedBytes += bytes
  }

  countPush(): void {
    this.#pushes += 1
  }

  countFailedPush(): void {
    this.#failedPushes += 1
  }

  countPushedBytes(bytes: number): void {
    this.#pushedBytes += bytes
  }
}
