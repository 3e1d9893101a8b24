/** The embedded store as the local registry: content by digest on disk, visibility and tags in SQLite. */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { RawManifest } from '../oci/manifest.ts'
import type { TagChange } from '../oci/tag-change.ts'
import type { Store } from '../store/store.ts'
import {
  type Ingest,
  type IngestOptions,
  type LocalReader,
  type LocalRegistry,
  type LocalTag,
  maxReadBytes,
} from './local.ts'

export class EmbeddedRegistry implements LocalRegistry, LocalReader {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  hold(contents: readonly Descriptor[]): () => void {
    return this.#store.content.pins.hold(contents.map(content => content.digest))
  }

  async findManifest(_repository: string, digest: Digest): Promise<RawManifest | undefined> {
    // Found means that it is not fetched: it stays until the transfer that asks has put it.
    this.#store.content.touch(digest)
    return await this.#store.readManifest(digest)
  }

  async keepManifest(manifest: RawManifest): Promise<void> {
    await this.#store.content.writeBytes(manifest.descriptor.digest, manifest.bytes)
  }

  async hasBlob(_repository: string, blob: Descriptor): Promise<boolean> {
    return (await this.#store.content.size(blob.digest)) === blob.size
  }

  arrived(blob: Descriptor): number {
    return this.#store.content.arrived(blob)
  }

  async openIngest(blob: Descriptor, { signal }: IngestOptions): Promise<Ingest> {
    return await this.#store.content.openIngest(blob, signal)
  }

  async placeBlob(repository: string, blob: Descriptor): Promise<void> {
    this.#store.linkBlob(repository, blob)
  }

  async putManifest(repository: string, manifest: RawManifest): Promise<void> {
    // Nobody is told that it is here before something later is on the disk: its tag, a plan's status, or the state as a whole.
    await this.#store.putManifest(repository, manifest, { waits: false })
  }

  async findTag(repository: string, tag: string): Promise<Digest | undefined> {
    return this.#store.findTag(repository, tag)?.descriptor.digest
  }

  async changeTags(changes: readonly TagChange[]): Promise<readonly string[]> {
    await this.#store.changeTags(changes)
    return []
  }

  async confirm(repository: string, content: Descriptor, kind: 'manifest' | 'blob'): Promise<boolean> {
    const size =
      kind === 'manifest'
        ? this.#store.findManifest(repository, content.digest)?.size
        : this.#store.blobSize(repository, content.digest)
    // The row says who may see it; the file says that it is there.
    return size === content.size && (await this.#store.content.size(content.digest)) === content.size
  }

  async freeBytes(): Promise<number | undefined> {
    return await this.#store.content.freeBytes()
  }

  async listTags(repository: string, limit: number): Promise<readonly LocalTag[]> {
    return this.#store.tags(repository, undefined, limit).flatMap(tag => {
      const found = this.#store.findTag(repository, tag)
      return found === undefined ? [] : [{ tag, digest: found.descriptor.digest, updatedAt: found.updatedAt }]
    })
  }

  async readBlob(_repository: string, blob: Descriptor): Promise<Uint8Array | undefined> {
    if (blob.size > maxReadBytes) return undefined
    return await this.#store.content.readBytes(blob.digest)
  }
}
