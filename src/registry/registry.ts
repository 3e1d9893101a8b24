/** One registry, upstream or external local. A thin face; each group of requests is in a file of its own. */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { RawManifest } from '../oci/manifest.ts'
import { type BlobBody, type FetchBlobOptions, fetchBlob, hasBlob } from './blobs.ts'
import { fetchManifest, hasManifest, resolveManifest } from './manifests.ts'
import type { Transport } from './transport.ts'

/** Every method throws ImageError with `doing`, `side` and `host`, or the signal's reason; none waits and tries again by itself. */
export class Registry {
  /** As in references: `registry.example:5000`, `docker.io`. */
  readonly host: string
  readonly #transport: Transport

  constructor(host: string, transport: Transport) {
    this.host = host
    this.#transport = transport
  }

  /** Asks whether it is there and lets us in. */
  async ping(signal: AbortSignal): Promise<void> {
    const doing = `ask ${this.host} whether it is a registry`
    const answer = await this.#transport.send({
      ...{ method: 'GET', url: '/v2/', scopes: [], subject: 'registry', doing, expect: [200], signal },
    })
    await answer.discard()
  }

  /** What a tag or digest is now: one HEAD, or a GET where HEAD doesn't tell. */
  resolve(repository: string, tagOrDigest: string, signal: AbortSignal): Promise<Descriptor> {
    return resolveManifest(this.#transport, repository, tagOrDigest, signal)
  }

  /** A manifest's bytes, at most 4 MiB, verified. */
  fetchManifest(repository: string, tagOrDigest: string, signal: AbortSignal): Promise<RawManifest> {
    return fetchManifest(this.#transport, repository, tagOrDigest, signal)
  }

  /** A blob's bytes from an offset on; look at the body's own offset. Not yet verified. */
  fetchBlob(repository: string, blob: Descriptor, options: FetchBlobOptions): Promise<BlobBody> {
    return fetchBlob(this.#transport, repository, blob, options)
  }

  hasBlob(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    return hasBlob(this.#transport, repository, digest, signal)
  }

  hasManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    return hasManifest(this.#transport, repository, digest, signal)
  }
}
