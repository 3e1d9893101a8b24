/** What collection has to know of a repository's content, and how it takes rows away. SQL for store/collect.ts. */
import type Database from 'better-sqlite3'
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts'

/** A manifest and what leads from it. */
export interface GraphManifest {
  readonly digest: Digest
  /** Bytes of the manifest itself. */
  readonly size: number
  readonly subject: Digest | undefined
  /** Epoch milliseconds; 0: nobody is putting it now. */
  readonly putAt: number
  /** Manifests, and other content, that an index lists, present or not. */
  readonly children: readonly Digest[]
  /** Config and layers, present or not. */
  readonly blobs: readonly Digest[]
}

/** One repository's manifests and what they lead to. */
export interface RepositoryGraph {
  readonly manifests: ReadonlyMap<Digest, GraphManifest>
  /** Digest by tag. */
  readonly tags: ReadonlyMap<string, Digest>
}

/** A tag: since when it points where it does, and when that, or a manifest that it lists, was last pulled or named. */
export interface TaggedUse {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
  readonly updatedAt: number
  readonly usedAt: number
}

/** A blob that a repository shows although none of its manifests needs it. */
export interface LooseLink {
  readonly digest: Digest
  readonly size: number
  /** Epoch milliseconds. */
  readonly linkedAt: number
}

interface ManifestRow {
  digest: string
  size: number
  subject: string | null
  put_at: number
}

export class CollectionRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  transaction<T>(work: () => T): T {
    return this.#db.transaction(work).immediate()
  }

  /** Every repository with rows of its own, in order. */
  repositories(): string[] {
    return this.#sql.repositories.all().map(row => row.repository)
  }

  graph(repository: string): RepositoryGraph {
    const children = gather(this.#sql.children.all(repository))
    const blobs = gather(this.#sql.blobs.all(repository))
    const manifests = this.#sql.manifests.all(repository).map(row => {
      const digest = parseDigest(row.digest)
      const subject = row.subject === null ? undefined : parseDigest(row.subject)
      const facts = { digest, size: row.size, subject, putAt: row.put_at }
      return [digest, { ...facts, children: children.get(digest) ?? [], blobs: blobs.get(digest) ?? [] }] as const
    })
    const tags = this.#sql.tags.all(repository).map(row => [row.tag, parseDigest(row.digest)] as const)
    return { manifests: new Map(manifests), tags: new Map(tags) }
  }

  /** Every tag, with what cleanup has to know of it. Times are epoch milliseconds. */
  taggedImages(): TaggedUse[] {
    return this.#sql.taggedImages.all().map(row => ({ ...row, digest: parseDigest(row.digest) }))
  }

  digestOf(repository: string, tag: string): Digest | undefined {
    const row = this.#sql.digestOf.get(repository, tag)
    return row && parseDigest(row.digest)
  }

  /** Bytes of each blob that the repository shows. */
  linkSizes(repository: string): Map<Digest, number> {
    return new Map(this.#sql.links.all(repository).map(row => [parseDigest(row.digest), row.size]))
  }

  looseLinks(repository: string): LooseLink[] {
    return this.#sql.looseLinks
      .all(repository)
      .map(row => ({ digest: parseDigest(row.digest), size: row.size, linkedAt: row.linked_at }))
  }

  /** Takes a manifest that no tag points at out of the repository. */
  removeManifest(repository: string, digest: Digest): void {
    this.#sql.removeManifest.run(repository, digest)
    this.#sql.removeUse.run(repository, digest)
    if (this.#sql.manifestAnywhere.get(digest) !== undefined) return
    this.#sql.removeChildren.run(digest)
    this.#sql.removeBlobs.run(digest)
    this.#sql.removeReferrers.run(digest)
  }

  removeLink(repository: string, digest: Digest): void {
    this.#sql.removeLink.run(repository, digest)
  }

  /** Removes a tag that still points there. */
  removeTag(repository: string, tag: string, digest: Digest): boolean {
    return this.#sql.removeTag.run(repository, tag, digest).changes > 0
  }

  /** Says that nobody is about to tag the manifest: where nothing leads to it, it goes with the next collection. */
  release(repository: string, digest: Digest): void {
    this.#sql.release.run(repository, digest)
  }

  /** Whether some repository shows the content, as a blob or as a manifest. */
  isReferenced(digest: Digest): boolean {
    return this.#sql.referenced.get(digest, digest) !== undefined
  }

  /** Everything that some repository shows and that comes after a digest, in order. */
  contentAfter(digest: string, limit: number): { digest: Digest; size: number }[] {
    return this.#sql.contentAfter
      .all(digest, digest, limit)
      .map(row => ({ digest: parseDigest(row.digest), size: row.size }))
  }

  /** Repositories that show the content. */
  repositoriesWith(digest: Digest): string[] {
    return this.#sql.repositoriesWith.all(digest, digest).map(row => row.repository)
  }
}

function gather(rows: readonly { from: string; to: string }[]): Map<Digest, Digest[]> {
  const found = new Map<Digest, Digest[]>()
  for (const { from, to } of rows) {
    if (!isDigest(from) || !isDigest(to)) continue
    const list = found.get(from)
    if (list) list.push(to)
    else found.set(from, [to])
  }
  return found
}

function prepare(db: Database.Database) {
  return {
    repositories: db.prepare<[], { repository: string }>(
      'SELECT DISTINCT repository FROM manifests UNION SELECT DISTINCT repository FROM links ORDER BY repository',
    ),
    manifests: db.prepare<[string], ManifestRow>(
      'SELECT digest, size, subject, put_at FROM manifests WHERE repository = ?',
    ),
    tags: db.prepare<[string], { tag: string; digest: string }>('SELECT tag, digest FROM tags WHERE repository = ?'),
    digestOf: db.prepare<[string, string], { digest: string }>(
      'SELECT digest FROM tags WHERE repository = ? AND tag = ?',
    ),
    children: db.prepare<[string], { from: string; to: string }>(
      'SELECT c.parent AS "from", c.child AS "to" FROM manifests m JOIN manifest_children c ON c.parent = m.digest WHERE m.repository = ?',
    ),
    blobs: db.prepare<[string], { from: string; to: string }>(
      'SELECT b.manifest AS "from", b.blob AS "to" FROM manifests m JOIN manifest_blobs b ON b.manifest = m.digest WHERE m.repository = ?',
    ),
    taggedImages: db.prepare<
      [],
      { repository: string; tag: string; digest: string; updatedAt: number; usedAt: number }
    >(
      `SELECT t.repository, t.tag, t.digest, t.updated_at AS updatedAt,
         max(t.updated_at, coalesce(u.used_at, 0), coalesce((
           SELECT max(cu.used_at) FROM manifest_children c
             JOIN manifest_uses cu ON cu.repository = t.repository AND cu.digest = c.child WHERE c.parent = t.digest), 0)) AS usedAt
       FROM tags t LEFT JOIN manifest_uses u ON u.repository = t.repository AND u.digest = t.digest
       ORDER BY t.repository, t.tag`,
    ),
    links: db.prepare<[string], { digest: string; size: number }>(
      'SELECT digest, size FROM links WHERE repository = ?',
    ),
    looseLinks: db.prepare<[string], { digest: string; size: number; linked_at: number }>(
      `SELECT l.digest, l.size, l.linked_at FROM links l WHERE l.repository = ?
         AND NOT EXISTS (SELECT 1 FROM manifest_blobs b JOIN manifests m ON m.digest = b.manifest AND m.repository = l.repository
                          WHERE b.blob = l.digest)
         AND NOT EXISTS (SELECT 1 FROM manifest_children c JOIN manifests m ON m.digest = c.parent AND m.repository = l.repository
                          WHERE c.child = l.digest)`,
    ),
    removeManifest: db.prepare<[string, string]>('DELETE FROM manifests WHERE repository = ? AND digest = ?'),
    removeUse: db.prepare<[string, string]>('DELETE FROM manifest_uses WHERE repository = ? AND digest = ?'),
    manifestAnywhere: db.prepare<[string]>('SELECT 1 FROM manifests WHERE digest = ? LIMIT 1'),
    removeChildren: db.prepare<[string]>('DELETE FROM manifest_children WHERE parent = ?'),
    removeBlobs: db.prepare<[string]>('DELETE FROM manifest_blobs WHERE manifest = ?'),
    // Asked anew when the manifest comes again: its signatures went with it.
    removeReferrers: db.prepare<[string]>('DELETE FROM referrer_answers WHERE digest = ?'),
    removeLink: db.prepare<[string, string]>('DELETE FROM links WHERE repository = ? AND digest = ?'),
    removeTag: db.prepare<[string, string, string]>('DELETE FROM tags WHERE repository = ? AND tag = ? AND digest = ?'),
    release: db.prepare<[string, string]>('UPDATE manifests SET put_at = 0 WHERE repository = ? AND digest = ?'),
    referenced: db.prepare<[string, string]>(
      'SELECT 1 WHERE EXISTS (SELECT 1 FROM links WHERE digest = ?) OR EXISTS (SELECT 1 FROM manifests WHERE digest = ?)',
    ),
    contentAfter: db.prepare<[string, string, number], { digest: string; size: number }>(
      `SELECT digest, max(size) AS size FROM (
         SELECT digest, size FROM links WHERE digest > ? UNION ALL SELECT digest, size FROM manifests WHERE digest > ?)
       GROUP BY digest ORDER BY digest LIMIT ?`,
    ),
    repositoriesWith: db.prepare<[string, string], { repository: string }>(
      'SELECT repository FROM links WHERE digest = ? UNION SELECT repository FROM manifests WHERE digest = ? ORDER BY repository',
    ),
  }
}
