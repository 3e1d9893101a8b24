/**
 * Which repository shows which manifests, blobs and tags. The bytes lie in the layout's blobs; these rows are the truth about
 * who may see them. SQL for store/.
 */
import type Database from 'better-sqlite3'
import { AnnotationsShape, type Descriptor } from '../oci/descriptor.ts'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { Shape } from '../oci/shape.ts'
import { withoutSync } from './unsynced.ts'

const annotationsShape = new Shape(AnnotationsShape)

/** A manifest as a repository shows it. */
export interface ManifestRecord {
  readonly repository: string
  readonly descriptor: Descriptor
  /** Bytes of the manifest, its config and its layers together. */
  readonly contentSize: number
  readonly subject: Digest | undefined
  /** The manifests that an index lists, whether they are here or not. */
  readonly children: readonly Digest[]
  /** The config and layers that it needs. */
  readonly blobs: readonly Digest[]
}

/** A tag as it stands now. */
export interface StoredTag {
  readonly repository: string
  readonly tag: string
  readonly descriptor: Descriptor
  /** Where the content came from: a reference, or `push`. */
  readonly source: string
  /** Epoch milliseconds. */
  readonly updatedAt: number
}

interface ManifestRow {
  digest: string
  media_type: string
  size: number
  artifact_type: string | null
  annotations: string | null
}

interface TagRow {
  repository: string
  tag: string
  digest: string
  media_type: string
  size: number
  source: string
  updated_at: number
}

const tagColumns = 't.repository, t.tag, t.digest, m.media_type, m.size, t.source, t.updated_at'
const tagJoin = 'FROM tags t JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest'

export class ContentRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>
  readonly #now: () => number

  constructor(db: Database.Database, now: () => number = Date.now) {
    this.#db = db
    this.#sql = prepare(db)
    this.#now = now
  }

  /**
   * Runs `work` as one transaction: all of it, or nothing when it throws. One that doesn't wait for the disk is durable with the next
   * commit that does.
   */
  transaction<T>(work: () => T, { waits = true } = {}): T {
    const run = () => this.#db.transaction(work).immediate()
    return waits ? run() : withoutSync(this.#db, run)
  }

  /** Repositories with at least one manifest, in byte order, after `after`. */
  repositories(after: string | undefined, limit: number): string[] {
    // One seek per repository: a DISTINCT would read every manifest's row.
    const found: string[] = []
    let last = after ?? ''
    while (found.length < limit) {
      const next = this.#sql.nextRepository.get(last)?.repository
      if (next == null) break
      found.push(next)
      last = next
    }
    return found
  }

  hasRepository(repository: string): boolean {
    return this.#sql.hasRepository.get(repository, repository) !== undefined
  }

  /** Tags of a repository after `after`, in the order of the distribution-spec, "Listing Tags": upper case beside lower case. */
  tags(repository: string, after: string | undefined, limit: number): string[] {
    return this.#sql.tags.all({ repository, after: after ?? '', limit }).map(row => row.tag)
  }

  tag(repository: string, tag: string): StoredTag | undefined {
    const row = this.#sql.tag.get(repository, tag)
    return row && toTag(row)
  }

  allTags(): StoredTag[] {
    return this.#sql.allTags.all().map(toTag)
  }

  /** Bytes that each tag's image takes here: its manifest, the listed manifests that are here, their configs and layers. Keyed by `repository:tag`. */
  imageSizes(): Map<string, number> {
    return new Map(this.#sql.imageSizes.all().map(row => [`${row.repository}:${row.tag}`, row.size]))
  }

  manifest(repository: string, digest: Digest): Descriptor | undefined {
    const row = this.#sql.manifest.get(repository, digest)
    return row && toDescriptor(row)
  }

  /** What some repository calls the manifest. */
  mediaTypeOf(digest: Digest): string | undefined {
    return this.#sql.mediaType.get(digest)?.media_type
  }

  referrers(repository: string, subject: Digest): Descriptor[] {
    return this.#sql.referrers.all(repository, subject).map(toDescriptor)
  }

  addManifest(manifest: ManifestRecord): void {
    const { repository, descriptor, subject } = manifest
    this.#sql.addManifest.run(
      repository,
      descriptor.digest,
      descriptor.mediaType,
      descriptor.size,
      manifest.contentSize,
      descriptor.artifactType ?? null,
      subject ?? null,
      subject && descriptor.annotations ? JSON.stringify(descriptor.annotations) : null,
      this.#now(),
      this.#now(),
    )
    for (const child of manifest.children) this.#sql.addChild.run(descriptor.digest, child)
    for (const blob of manifest.blobs) this.#sql.addBlob.run(descriptor.digest, blob)
  }

  /** Takes a manifest and the tags on it out of a repository. Answers false when the repository doesn't show it. */
  removeManifest(repository: string, digest: Digest): boolean {
    this.#sql.removeTagsOn.run(repository, digest)
    if (this.#sql.removeManifest.run(repository, digest).changes === 0) return false
    if (this.#sql.mediaType.get(digest) === undefined) {
      this.#sql.removeChildren.run(digest)
      this.#sql.removeBlobs.run(digest)
    }
    return true
  }

  /** Tags of a repository that point at the manifest. */
  tagsOn(repository: string, digest: Digest): string[] {
    return this.#sql.tagsOn.all(repository, digest).map(row => row.tag)
  }

  /** The manifests of a repository that lead to this one: the lists that list it, and the lists of those. */
  manifestsAbove(repository: string, digest: Digest): Digest[] {
    return this.#sql.above.all(digest, repository, repository).map(row => parseDigest(row.digest))
  }

  /** A manifest of the repository that needs the blob, if there is one. */
  manifestWith(repository: string, blob: Digest): Digest | undefined {
    const row = this.#sql.withBlob.get(blob, repository)
    return row && parseDigest(row.digest)
  }

  /** Some of the repositories that show the blob. */
  repositoriesWith(blob: Digest, limit: number): string[] {
    return this.#sql.repositoriesWith.all(blob, limit).map(row => row.repository)
  }

  linkedSize(repository: string, digest: Digest): number | undefined {
    return this.#sql.link.get(repository, digest)?.size
  }

  /** Durable with the manifest that needs it, whose commit comes later. */
  addLink(repository: string, digest: Digest, size: number): void {
    withoutSync(this.#db, () => this.#sql.addLink.run(repository, digest, size, this.#now()))
  }

  /** Answers false when the repository doesn't show the blob. */
  removeLink(repository: string, digest: Digest): boolean {
    return this.#sql.removeLink.run(repository, digest).changes > 0
  }

  setTag(repository: string, tag: string, digest: Digest, source: string): void {
    this.#sql.setTag.run(repository, tag, digest, source, this.#now())
  }

  removeTag(repository: string, tag: string): void {
    this.#sql.removeTag.run(repository, tag)
  }

  /** Whether index.json was read into these rows, or there was nothing to read. */
  get imported(): boolean {
    return this.#sql.imported.get() !== undefined
  }

  markImported(): void {
    this.#sql.markImported.run(this.#now())
  }
}

function prepare(db: Database.Database) {
  return {
    nextRepository: db.prepare<[string], { repository: string | null }>(
      'SELECT min(repository) AS repository FROM manifests WHERE repository > ?',
    ),
    hasRepository: db.prepare<[string, string]>(
      'SELECT 1 WHERE EXISTS (SELECT 1 FROM manifests WHERE repository = ?) OR EXISTS (SELECT 1 FROM links WHERE repository = ?)',
    ),
    tags: db.prepare<{ repository: string; after: string; limit: number }, { tag: string }>(
      `SELECT tag FROM tags WHERE repository = :repository AND (tag COLLATE NOCASE, tag) > (:after, :after)
       ORDER BY tag COLLATE NOCASE, tag LIMIT :limit`,
    ),
    tag: db.prepare<[string, string], TagRow>(`SELECT ${tagColumns} ${tagJoin} WHERE t.repository = ? AND t.tag = ?`),
    allTags: db.prepare<[], TagRow>(`SELECT ${tagColumns} ${tagJoin} ORDER BY t.repository, t.tag`),
    imageSizes: db.prepare<[], { repository: string; tag: string; size: number }>(
      `WITH RECURSIVE tree (repository, tag, digest) AS (
         SELECT repository, tag, digest FROM tags
         UNION
         SELECT tree.repository, tree.tag, c.child FROM tree JOIN manifest_children c ON c.parent = tree.digest
       )
       SELECT tree.repository, tree.tag, sum(m.content_size) AS size
       FROM tree JOIN manifests m ON m.repository = tree.repository AND m.digest = tree.digest
       GROUP BY tree.repository, tree.tag`,
    ),
    manifest: db.prepare<[string, string], ManifestRow>(
      'SELECT digest, media_type, size, artifact_type, annotations FROM manifests WHERE repository = ? AND digest = ?',
    ),
    mediaType: db.prepare<[string], { media_type: string }>(
      'SELECT media_type FROM manifests WHERE digest = ? LIMIT 1',
    ),
    referrers: db.prepare<[string, string], ManifestRow>(
      `SELECT digest, media_type, size, artifact_type, annotations FROM manifests
       WHERE repository = ? AND subject = ? ORDER BY added_at, digest`,
    ),
    addManifest: db.prepare<
      [string, string, string, number, number, string | null, string | null, string | null, number, number]
    >(
      `INSERT INTO manifests
         (repository, digest, media_type, size, content_size, artifact_type, subject, annotations, added_at, put_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type, put_at = excluded.put_at`,
    ),
    addChild: db.prepare<[string, string]>(
      'INSERT INTO manifest_children (parent, child) VALUES (?, ?) ON CONFLICT DO NOTHING',
    ),
    addBlob: db.prepare<[string, string]>(
      'INSERT INTO manifest_blobs (manifest, blob) VALUES (?, ?) ON CONFLICT DO NOTHING',
    ),
    removeManifest: db.prepare<[string, string]>('DELETE FROM manifests WHERE repository = ? AND digest = ?'),
    removeChildren: db.prepare<[string]>('DELETE FROM manifest_children WHERE parent = ?'),
    removeBlobs: db.prepare<[string]>('DELETE FROM manifest_blobs WHERE manifest = ?'),
    removeTagsOn: db.prepare<[string, string]>('DELETE FROM tags WHERE repository = ? AND digest = ?'),
    tagsOn: db.prepare<[string, string], { tag: string }>(
      'SELECT tag FROM tags WHERE repository = ? AND digest = ? ORDER BY tag',
    ),
    above: db.prepare<[string, string, string], { digest: string }>(
      `WITH RECURSIVE above (digest) AS (
         SELECT c.parent FROM manifest_children c JOIN manifests m ON m.digest = c.parent
         WHERE c.child = ? AND m.repository = ?
         UNION
         SELECT c.parent FROM above JOIN manifest_children c ON c.child = above.digest
           JOIN manifests m ON m.digest = c.parent
         WHERE m.repository = ?
       )
       SELECT digest FROM above`,
    ),
    withBlob: db.prepare<[string, string], { digest: string }>(
      `SELECT m.digest FROM manifest_blobs b JOIN manifests m ON m.digest = b.manifest
       WHERE b.blob = ? AND m.repository = ? LIMIT 1`,
    ),
    repositoriesWith: db.prepare<[string, number], { repository: string }>(
      'SELECT repository FROM links WHERE digest = ? ORDER BY repository LIMIT ?',
    ),
    removeLink: db.prepare<[string, string]>('DELETE FROM links WHERE repository = ? AND digest = ?'),
    link: db.prepare<[string, string], { size: number }>('SELECT size FROM links WHERE repository = ? AND digest = ?'),
    // Confirmed every ten minutes at the most: a link that stands costs no write.
    addLink: db.prepare<[string, string, number, number]>(
      `INSERT INTO links (repository, digest, size, linked_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (repository, digest) DO UPDATE SET linked_at = excluded.linked_at
         WHERE excluded.linked_at > linked_at + 600000`,
    ),
    setTag: db.prepare<[string, string, string, string, number]>(
      `INSERT INTO tags (repository, tag, digest, source, updated_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (repository, tag) DO UPDATE
         SET digest = excluded.digest, source = excluded.source, updated_at = excluded.updated_at`,
    ),
    removeTag: db.prepare<[string, string]>('DELETE FROM tags WHERE repository = ? AND tag = ?'),
    imported: db.prepare<[]>('SELECT 1 FROM layout WHERE id = 1'),
    markImported: db.prepare<[number]>(
      'INSERT INTO layout (id, imported_at) VALUES (1, ?) ON CONFLICT (id) DO NOTHING',
    ),
  }
}

function toTag(row: TagRow): StoredTag {
  return {
    repository: row.repository,
    tag: row.tag,
    descriptor: { mediaType: row.media_type, digest: parseDigest(row.digest), size: row.size },
    source: row.source,
    updatedAt: row.updated_at,
  }
}

function toDescriptor(row: ManifestRow): Descriptor {
  return {
    mediaType: row.media_type,
    digest: parseDigest(row.digest),
    size: row.size,
    ...(row.artifact_type === null ? {} : { artifactType: row.artifact_type }),
    ...(row.annotations === null ? {} : { annotations: readAnnotations(row.annotations) }),
  }
}

function readAnnotations(json: string): Readonly<Record<string, string>> {
  return annotationsShape.parse(JSON.parse(json))
}
