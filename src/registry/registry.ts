/** One registry, upstream or external local. A thin face; each group of requests is in a file of its own. */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { RawManifest } from '../oci/manifest.ts'
import { type BlobBody, type FetchBlobOptions, fetchBlob, hasBlob } from './blobs.ts'
import { listRepositories } from './catalog.ts'
import { fetchManifest, hasManifest, resolveManifest } from './manifests.ts'
import { Pushes } from './pushes.ts'
import { listReferrers, ReferrersApi } from './referrers.ts'
import { listTags } from './tags.ts'
import type { Transport } from './transport.ts'
import type { OpenBlob } from './uploads.ts'

/** Every method throws ImageError with `doing`, `side` and `host`, or the signal's reason; none waits and tries again by itself. */
export class Registry {
  /** As in references: `registry.example:5000`, `docker.io`. */
  readonly host: string
  readonly #transport: Transport
  readonly #pushes: Pushes
  readonly #referrersApi = new ReferrersApi()

  constructor(host: string, transport: Transport) {
    this.host = host
    this.#transport = transport
    this.#pushes = new Pushes(transport)
  }

  /** Asks whether it is there and lets us in. */
  async ping(signal: AbortSignal): Promise<void> {
    const answer = await this.#transport.send({
      method: 'GET',
      url: '/v2/',
      scopes: [],
      subject: 'registry',
      doing: `ask ${this.host} whether it is a registry`,
      expect: [200],
      signal,
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

  /** What refers to a manifest: by the API, else by the tag schema. `[]` when nothing does. */
  listReferrers(repository: string, digest: Digest, signal: AbortSignal): Promise<readonly Descriptor[]> {
    return listReferrers(this.#transport, repository, digest, { api: this.#referrersApi, signal })
  }

  listTags(repository: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    return listTags(this.#transport, repository, signal)
  }

  /** The registry's own list of its repositories, where it gives one. */
  listRepositories(signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    return listRepositories(this.#transport, signal)
  }

  /** Makes a blob of another repository part of this one; false if the registry won't, and it has to be uploaded. */
  mountBlob(repository: string, digest: Digest, fromRepository: string, signal: AbortSignal): Promise<boolean> {
    return this.#pushes.mountBlob(repository, digest, fromRepository, signal)
  }

  /** Sends a blob. `open` gives its bytes from an offset on, and may be called again. */
  uploadBlob(repository: string, blob: Descriptor, open: OpenBlob, signal: AbortSignal): Promise<void> {
    return this.#pushes.uploadBlob(repository, blob, open, signal)
  }

  /** Puts a manifest under a tag, or by its digest alone, and keeps the referrers tag where the registry doesn't keep referrers. */
  putManifest(repository: string, manifest: RawManifest, tag: string | undefined, signal: AbortSignal): Promise<void> {
    return this.#pushes.putManifest(repository, manifest, tag, signal)
  }

  /** Removes a tag; one that isn't there is fine. */
  deleteTag(repository: string, tag: string, signal: AbortSignal): Promise<void> {
    return this.#pushes.deleteTag(repository, tag, signal)
  }

  /** Removes a manifest with every tag on it. @throws ImageError `UNSUPPORTED` where the registry doesn't allow it. */
  deleteManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#pushes.deleteManifest(repository, digest, signal)
  }
}
