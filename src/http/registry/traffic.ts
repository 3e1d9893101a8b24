/** What the registry's readers have taken, counted since the start. Metrics read it; the routes write it. */
export class Traffic {
  #pulls = 0
  #servedBytes = 0

  /** Manifests asked for with GET: about one for every image that a node pulls. */
  get pulls(): number {
    return this.#pulls
  }

  /** Bytes of blobs and manifests sent. */
  get servedBytes(): number {
    return this.#servedBytes
  }

  countPull(): void {
    this.#pulls += 1
  }

  countBytes(bytes: number): void {
    this.#servedBytes += bytes
  }
}
