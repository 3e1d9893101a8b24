/**
 * What the layout's index.json tells, a page at a time: a registry of many thousand images is never in memory as a whole.
 * SQL for store/index-file.ts.
 */
import type Database from 'better-sqlite3'
import type { Descriptor } from '../oci/descriptor.ts'
import { parseDigest } from '../oci/digest.ts'

/** One manifest and where it is shown. */
export interface IndexEntry {
  readonly repository: string
  /** Undefined for a manifest that nothing leads to. */
  readonly tag: string | undefined
  /** Where a tag's content came from. */
  readonly source: string | undefined
  readonly descriptor: Descriptor
}

interface Row {
  repository: string
  digest: string
  media_type: string
  size: number
}

interface RootRow extends Row {
  artifact_type: string | null
}

interface TagRow extends Row {
  tag: string
  source: string
}

interface Page {
  /** The last of the page before; empty texts for the first. */
  repository: string
  name: string
  limit: number
}

/** In entries. Tags are read in order; among roots, every tagged manifest up to the page's end is looked at, too, and takes its time. */
const usualPage = 500

export class IndexEntries {
  readonly #sql: ReturnType<typeof prepare>
  readonly #pageSize: number

  /** @param pageSize in entries. */
  constructor(db: Database.Database, pageSize = usualPage) {
    this.#sql = prepare(db)
    this.#pageSize = pageSize
  }

  /**
   * Every manifest that neither a tag nor another manifest of its repository leads to and every referrer, then every tag. Between two
   * pages others may write: each entry is told as it stood when its page was read. The tags come last, so that what is just getting one
   * is told twice and not left out. What loses or changes its tag meanwhile can be: until the file is written anew, as after every change.
   */
  *pages(): Generator<readonly IndexEntry[]> {
    const { roots, tags } = this.#sql
    yield* pagesOf(this.#pageSize, page => roots.all(page).map(toRoot), nameOfRoot)
    yield* pagesOf(this.#pageSize, page => tags.all(page).map(toTag), nameOfTag)
  }
}

function* pagesOf(
  limit: number,
  read: (page: Page) => readonly IndexEntry[],
  nameOf: (entry: IndexEntry) => string,
): Generator<readonly IndexEntry[]> {
  let page: Page = { repository: '', name: '', limit }
  for (;;) {
    const entries = read(page)
    const last = entries.at(-1)
    if (last === undefined) return
    yield entries
    if (entries.length < limit) return
    page = { repository: last.repository, name: nameOf(last), limit }
  }
}

function prepare(db: Database.Database) {
  return {
    roots: db.prepare<Page, RootRow>(
      `SELECT m.repository, m.digest, m.media_type, m.size, m.artifact_type FROM manifests m
       WHERE (m.repository, m.digest) > (:repository, :name)
         AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
         AND (m.subject IS NOT NULL OR NOT EXISTS (
           SELECT 1 FROM manifest_children c JOIN manifests p ON p.digest = c.parent AND p.repository = m.repository
           WHERE c.child = m.digest))
       ORDER BY m.repository, m.digest LIMIT :limit`,
    ),
    tags: db.prepare<Page, TagRow>(
      `SELECT t.repository, t.tag, t.digest, t.source, m.media_type, m.size
       FROM tags t JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest
       WHERE (t.repository, t.tag) > (:repository, :name)
       ORDER BY t.repository, t.tag LIMIT :limit`,
    ),
  }
}

const nameOfRoot = (entry: IndexEntry) => entry.descriptor.digest
const nameOfTag = (entry: IndexEntry) => entry.tag ?? ''

function toRoot(row: RootRow): IndexEntry {
  const kind = row.artifact_type === null ? {} : { artifactType: row.artifact_type }
  return {
    repository: row.repository,
    tag: undefined,
    source: undefined,
    descriptor: { ...toDescriptor(row), ...kind },
  }
}

function toTag(row: TagRow): IndexEntry {
  return { repository: row.repository, tag: row.tag, source: row.source, descriptor: toDescriptor(row) }
}

function toDescriptor({ media_type, digest, size }: Row): Descriptor {
  return { mediaType: media_type, digest: parseDigest(digest), size }
}
