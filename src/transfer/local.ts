/**
 * The local registry as the engine sees it: one seam with two sides, the embedded store and an external registry.
 * Implemented by local-embedded.ts and local-external.ts; used by every step of a transfer.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { RawManifest } from '../oci/manifest.ts'
import type { TagChange } from '../oci/tag-change.ts'

/** A blob that is still arriving: a file and an offset, with the hash of what is there. */
export interface Ingest {
  readonly descriptor: Descriptor
  /** Bytes that are on disk and in the hash; the next chunk goes here. */
  readonly offset: number
  /** Appends. Resolves when the chunk may be reused. @throws ImageError `SIZE_MISMATCH` beyond the descriptor's size, `NO_SPACE`. */
  write(chunk: Uint8Array): Promise<void>
  /** Verifies size and digest and makes the blob visible, durably. @throws ImageError `DIGEST_MISMATCH`, `SIZE_MISMATCH`; the content is then gone. */
  commit(): Promise<void>
  /** Throws what has arrived away. */
  discard(): Promise<void>
  /** Lets go of the file and keeps what has arrived for the next opening. Safe after commit and discard. */
  close(): Promise<void>
}

export interface IngestOptions {
  /** Where the blob is wanted, where that is known: it may be made part of that repository while it comes, or when it is committed. */
  readonly repository: string | undefined
  /** Ends the opening. */
  readonly signal: AbortSignal
  /** Ends what is done with the blob once it has come: a link that closes stops its coming, and nothing on the local side. */
  readonly transfer: AbortSignal
}

export interface LocalRegistry {
  /**
   * Keeps this content from being collected until the answer is called, from this very moment on: what is then found present stays
   * so until it is placed.
   */
  hold(contents: readonly Descriptor[]): () => void
  /** The manifest's bytes, verified, where the local side has them in any repository. */
  findManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<RawManifest | undefined>
  /** Keeps a manifest's bytes while the content it names is fetched; not visible to readers yet. */
  keepManifest(manifest: RawManifest): Promise<void>
  /** Whether the blob's content is on the local side in any repository, so that it need not be fetched. */
  hasBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<boolean>
  /** Bytes of the blob with which its ingest would be opened now: where that is all of them, it only has to be committed. */
  arrived(blob: Descriptor): number
  /** Opens the blob's ingest, going on where an earlier one stopped. One at a time per digest. */
  openIngest(blob: Descriptor, options: IngestOptions): Promise<Ingest>
  /** Makes content that {@link hasBlob} knows part of the repository: a link, a mount or an upload. */
  placeBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<void>
  /** Puts a manifest into the repository, by digest. Its children are there already. @throws ImageError `LOCAL_REFUSED` for one the registry won't take. */
  putManifest(repository: string, manifest: RawManifest, signal: AbortSignal): Promise<void>
  /** Where a tag points now. */
  findTag(repository: string, tag: string, signal: AbortSignal): Promise<Digest | undefined>
  /**
   * Moves and removes tags together: a reader sees all of it or nothing (external: as close as its API allows, completed after a crash).
   * Gives notes on what the registry could not do.
   */
  changeTags(changes: readonly TagChange[], signal: AbortSignal): Promise<readonly string[]>
  /** Whether the registry says that a manifest or blob is in the repository: asked now, or for a blob, as it took that from us minutes ago. */
  confirm(repository: string, content: Descriptor, kind: 'manifest' | 'blob', signal: AbortSignal): Promise<boolean>
  /** Bytes that new content may still take, or undefined where that can't be known. */
  freeBytes(): Promise<number | undefined>
}

/** A tag of the local registry. */
export interface LocalTag {
  readonly tag: string
  readonly digest: Digest
  /** When it came to point there, epoch milliseconds; undefined where the registry doesn't tell. */
  readonly updatedAt?: number
}

/** What a local registry can tell of its content beyond what a transfer asks: for those who show it to people. */
export interface LocalReader {
  /** At most `limit` tags of a repository; none where there is no such repository. */
  listTags(repository: string, limit: number, signal: AbortSignal): Promise<readonly LocalTag[]>
  /** The bytes of a small blob (an image's config), verified; undefined where it is absent or larger than 4 MiB. */
  readBlob(repository: string, blob: Descriptor, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** Blobs that are read as a whole are not larger. Bytes. */
export const maxReadBytes = 4 * 1024 * 1024
