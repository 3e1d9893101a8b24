/**
 * The embedded local registry's content: an OCI image layout on disk with one copy of each blob, and in SQLite who may see what.
 * Written by transfer/ through its LocalRegistry, served by http/registry.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { maxManifestBytes, parseManifest, type RawManifest, rawManifest } from '../oci/manifest.ts'
import type { TagChange } from '../oci/tag-change.ts'
import { ContentRows, type StoredTag } from '../state/content.ts'
import type { State } from '../state/database.ts'
import { toStateError } from '../state/errors.ts'
import { IndexEntries } from '../state/index-entries.ts'
import { Ingests } from '../state/ingests.ts'
import { UploadRows } from '../state/uploads.ts'
import { readBootId } from './boot-id.ts'
import { ContentStore } from './content.ts'
import { writeIndex, writeLayoutMark } from './index-file.ts'
import { IndexWriter } from './index-writer.ts'
import { localError } from './layout.ts'
import { readManifestRecord } from './manifest-record.ts'
import { rebuildFromIndex } from './rebuild.ts'
import { Upkeep } from './upkeep.ts'
import { type UploadLimits, Uploads } from './uploads.ts'

export interface StoreOptions {
  /** The folder of the layout. */
  readonly root: string
  readonly state: State
  readonly logger: Logger
  readonly now?: () => number
  /** See ContentStore. */
  readonly syncBytes?: number
  readonly bootId?: string
  /** Milliseconds from a change to its appearance in index.json. Default 3000. */
  readonly indexDelayMs?: number
  /** For what clients push. */
  readonly uploads?: UploadLimits
  /** How long what was just put or linked waits for a tag or a manifest before it may be collected, in milliseconds. Default 1 h. */
  readonly graceMs?: number
  /** How long content stays after a reader took its manifest, in milliseconds. Default 15 min. */
  readonly readerGraceMs?: number
}

/** A tagged image, with the bytes of all of it that is here: what it shares with other images counts for each. */
export interface StoredImage extends StoredTag {
  readonly size: number
}

/** How long the blobs of an image wait for its manifest. */
const pushMs = 3_600_000

export class Store {
  readonly content: ContentStore
  /** What clients are pushing. */
  readonly uploads: Uploads
  /** What is in use, what may go, and whether it is intact. */
  readonly upkeep: Upkeep
  readonly #root: string
  readonly #rows: ContentRows
  readonly #logger: Logger
  readonly #index: IndexWriter

  constructor(options: StoreOptions) {
    const { root, state, logger, now } = options
    this.#root = root
    this.#logger = logger
    this.#rows = new ContentRows(state.db, now)
    this.content = new ContentStore({
      root,
      ingests: new Ingests(state.db, now),
      logger,
      ...(options.syncBytes === undefined ? {} : { syncBytes: options.syncBytes }),
      ...(options.bootId === undefined ? {} : { bootId: options.bootId }),
    })
    const { syncBytes = 8 * 1024 * 1024 } = options
    this.uploads = new Uploads({
      ...options.uploads,
      root,
      rows: new UploadRows(state.db, now),
      content: this.content,
      link: (repository, blob) => this.shareBlob(repository, blob),
      syncBytes,
      bootId: (options.bootId ?? readBootId()) || undefined,
      logger,
      ...(now === undefined ? {} : { now }),
    })
    this.upkeep = new Upkeep({
      ...{ root, content: this.content, state, logger, now: now ?? Date.now, changed: () => this.#index.changed() },
      ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }),
      ...(options.readerGraceMs === undefined ? {} : { readerGraceMs: options.readerGraceMs }),
    })
    const entries = new IndexEntries(state.db)
    this.#index = new IndexWriter({
      write: () => writeIndex(root, entries.pages()),
      delayMs: options.indexDelayMs ?? 3000,
      logger,
    })
  }

  /**
   * Makes the layout where it is missing, puts right what a crash left, and brings tags back from index.json when the database is new.
   * @throws StateError when the folder can't be written or its disk is full.
   */
  async start(): Promise<void> {
    await this.content.start()
    try {
      await this.uploads.start()
      await writeLayoutMark(this.#root)
      if (!this.#rows.imported) await rebuildFromIndex(this.#root, this.content, this.#rows, this.#logger)
    } catch (error) {
      throw toStateError(error, this.#root)
    }
    this.upkeep.start()
    // A crash may have come between a change and its appearance in index.json.
    this.#index.changed()
  }

  /** Keeps what has arrived and brings index.json up to date. */
  async stop(): Promise<void> {
    await this.uploads.stop()
    await this.upkeep.stop()
    await this.#index.stop()
  }

  /** Repositories with content, in byte order, after `after`. */
  catalog(after: string | undefined, limit: number): string[] {
    return this.#rows.repositories(after, limit)
  }

  hasRepository(repository: string): boolean {
    return this.#rows.hasRepository(repository)
  }

  /** Tags of a repository, in byte order, after `after`. */
  tags(repository: string, after: string | undefined, limit: number): string[] {
    return this.#rows.tags(repository, after, limit)
  }

  /** Of every repository together. */
  allTags(): StoredTag[] {
    return this.#rows.allTags()
  }

  /** Another number whenever a tag is another, for those who would have to look at all of them. */
  get changes(): number {
    return this.#index.changes
  }

  findTag(repository: string, tag: string): StoredTag | undefined {
    return this.#rows.tag(repository, tag)
  }

  /** A manifest that the repository shows; its bytes come from {@link readManifest}. */
  findManifest(repository: string, digest: Digest): Descriptor | undefined {
    return this.#rows.manifest(repository, digest)
  }

  /** A manifest's bytes, verified, whether a repository shows it or it was only kept. Undefined for content that is no manifest. */
  async readManifest(digest: Digest): Promise<RawManifest | undefined> {
    const known = this.#rows.mediaTypeOf(digest)
    const size = this.content.sizeNow(digest)
    if (size === undefined || (known === undefined && size > maxManifestBytes)) return undefined
    const bytes = await this.content.readBytes(digest)
    if (bytes === undefined) return undefined
    const mediaType = known ?? guessMediaType(bytes)
    return mediaType === undefined ? undefined : rawManifest(bytes, mediaType, digest)
  }

  /** The repository's manifests whose subject is `subject`, as the referrers API tells them. OCI distribution-spec, "Listing Referrers". */
  referrers(repository: string, subject: Digest): Descriptor[] {
    return this.#rows.referrers(repository, subject)
  }

  /** Bytes of a blob that the repository shows, or undefined. */
  blobSize(repository: string, digest: Digest): number | undefined {
    return this.#rows.linkedSize(repository, digest)
  }

  /** Some of the repositories that show the blob. */
  repositoriesWith(blob: Digest, limit: number): string[] {
    return this.#rows.repositoriesWith(blob, limit)
  }

  /**
   * Shows complete content in a repository, whichever brought it.
   * @throws ImageError `BLOB_UNKNOWN` when it isn't here, `SIZE_MISMATCH` when the descriptor's size is not its size.
   */
  linkBlob(repository: string, blob: Descriptor): void {
    const size = this.content.sizeNow(blob.digest)
    if (size === undefined) throw missingBlob(repository, blob)
    if (size !== blob.size) {
      throw new ImageError(
        'SIZE_MISMATCH',
        `${shortDigest(blob.digest)} has ${size} bytes, its descriptor says ${blob.size}`,
      )
    }
    this.#local(`link ${shortDigest(blob.digest)}`, () => this.#rows.addLink(repository, blob.digest, size))
  }

  /**
   * Puts a manifest into a repository, by digest only: durably, or with `waits: false` no sooner than its tag. An index may be sparse.
   * @throws ImageError `MANIFEST_INVALID` or `UNSUPPORTED`; `BLOB_UNKNOWN` when the repository lacks its config or a layer that may be
   * copied; `DIGEST_MISMATCH`, `SIZE_MISMATCH`, `NO_SPACE`.
   */
  async putManifest(repository: string, manifest: RawManifest, { waits = true } = {}): Promise<void> {
    const { record, blobs } = readManifestRecord(repository, manifest)
    for (const blob of blobs) {
      const size = this.#rows.linkedSize(repository, blob.digest)
      if (size === undefined) throw missingBlob(repository, blob)
      if (size !== blob.size) {
        throw new ImageError(
          'MANIFEST_INVALID',
          `it says that ${shortDigest(blob.digest)} has ${blob.size} bytes, it has ${size}`,
        )
      }
    }
    const release = this.content.pins.hold([manifest.descriptor.digest, ...blobs.map(blob => blob.digest)])
    try {
      await this.content.writeBytes(manifest.descriptor.digest, manifest.bytes)
      this.#local(`put manifest ${shortDigest(manifest.descriptor.digest)}`, () =>
        this.#rows.transaction(() => this.#rows.addManifest(record), { waits }),
      )
      for (const { digest } of [manifest.descriptor, ...blobs]) this.content.pins.named(digest)
    } finally {
      release() // from here on the row keeps them
    }
    this.#index.changed()
  }

  /**
   * The same for a client that pushes: the blob stays for an hour though no manifest needs it yet.
   * @throws ImageError as {@link linkBlob}.
   */
  shareBlob(repository: string, blob: Pick<Descriptor, 'digest' | 'size'>): void {
    this.linkBlob(repository, { mediaType: 'application/octet-stream', ...blob })
    this.content.pins.holdFor(blob.digest, pushMs)
  }

  /** A pushing client is about to be told that the repository has the blob, and won't send it: it stays for an hour, too. */
  keepForPush(repository: string, blob: Digest): void {
    if (this.#rows.linkedSize(repository, blob) !== undefined) this.content.pins.holdFor(blob, pushMs)
  }

  /**
   * What the manifest needs and the repository lacks. @throws ImageError `MANIFEST_INVALID` or `UNSUPPORTED` when it is no manifest.
   */
  missingBlobs(repository: string, manifest: RawManifest): Descriptor[] {
    const { blobs } = readManifestRecord(repository, manifest)
    return blobs.filter(blob => this.#rows.linkedSize(repository, blob.digest) === undefined)
  }

  /** Tags of the repository that point at the manifest. */
  tagsOn(repository: string, digest: Digest): string[] {
    return this.#rows.tagsOn(repository, digest)
  }

  /** The manifests of the repository that lead to this one: the indexes that list it, and the indexes of those. */
  manifestsAbove(repository: string, digest: Digest): Digest[] {
    return this.#rows.manifestsAbove(repository, digest)
  }

  /** A manifest of the repository that needs the blob, if there is one. */
  manifestWith(repository: string, blob: Digest): Digest | undefined {
    return this.#rows.manifestWith(repository, blob)
  }

  /** Takes a manifest and the tags on it out of the repository; its bytes are left to the collection. False when it isn't there. */
  removeManifest(repository: string, digest: Digest): boolean {
    const removed = this.#local(`remove manifest ${shortDigest(digest)}`, () =>
      this.#rows.transaction(() => this.#rows.removeManifest(repository, digest)),
    )
    if (removed) this.#index.changed()
    return removed
  }

  /** Takes a blob out of the repository; its bytes are left to the collection. False when it isn't there. */
  unlinkBlob(repository: string, digest: Digest): boolean {
    return this.#local(`unlink ${shortDigest(digest)}`, () => this.#rows.removeLink(repository, digest))
  }

  /** Bytes of all content, complete or still arriving. */
  async usedBytes(): Promise<number> {
    return (await this.content.usedBytes()) + this.uploads.bytes
  }

  /**
   * Moves and removes tags together: a reader sees all of it or nothing.
   * @throws ImageError `MANIFEST_UNKNOWN` for a tag on a manifest that its repository doesn't show; nothing has changed then.
   */
  async changeTags(changes: readonly TagChange[]): Promise<void> {
    this.#local('change tags', () =>
      this.#rows.transaction(() => {
        for (const change of changes) this.#changeTag(change)
      }),
    )
    this.#index.changed()
  }

  /** Every tagged image. */
  images(): StoredImage[] {
    const sizes = this.#rows.imageSizes()
    return this.#rows.allTags().map(tag => ({ ...tag, size: sizes.get(`${tag.repository}:${tag.tag}`) ?? 0 }))
  }

  #changeTag(change: TagChange): void {
    const { repository, tag } = change
    if (change.do === 'remove') {
      this.#rows.removeTag(repository, tag)
      return
    }
    const { digest } = change.descriptor
    if (this.#rows.manifest(repository, digest) === undefined) {
      throw new ImageError(
        'MANIFEST_UNKNOWN',
        `${repository}:${tag} can not point at ${shortDigest(digest)}: the repository has no such manifest`,
        { side: 'local', hint: 'Put the manifest into the repository before its tag.' },
      )
    }
    this.#rows.setTag(repository, tag, digest, change.source)
  }

  #local<T>(doing: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw localError(error, doing)
    }
  }
}

function guessMediaType(bytes: Uint8Array): string | undefined {
  try {
    return parseManifest(bytes).mediaType
  } catch {
    return undefined // a config or a layer: no manifest, and nobody said it was one
  }
}

function missingBlob(repository: string, blob: Descriptor): ImageError {
  return new ImageError('BLOB_UNKNOWN', `${repository} has no blob ${shortDigest(blob.digest)}`, {
    side: 'local',
    hint: 'Push the blobs of a manifest before the manifest itself.',
  })
}
