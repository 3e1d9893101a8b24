/**
 * Brings tags, manifests and links back from index.json and the blobs, when the database is new and the layout isn't: the database was
 * lost, or the layout came from elsewhere. What is incomplete is left out and said. Used by store.ts.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { shortDigest } from '../oci/digest.ts'
import { rawManifest } from '../oci/manifest.ts'
import { formatTarget } from '../oci/reference.ts'
import type { ContentRows } from '../state/content.ts'
import type { IndexEntry } from '../state/index-entries.ts'
import type { ContentStore } from './content.ts'
import { readIndex } from './index-file.ts'
import { type ReadManifest, readManifestRecord } from './manifest-record.ts'

/** Lists within lists beyond this depth are nobody's images. */
const maxDepth = 8
/** Lines about single entries in the log; their number is told in any case. */
const maxWarnings = 20

/** Fills the rows from index.json, in one transaction that also remembers that it was done. */
export async function rebuildFromIndex(
  root: string,
  content: ContentStore,
  rows: ContentRows,
  logger: Logger,
): Promise<void> {
  const index = await readIndex(root)
  const { entries, problems } = index ?? { entries: [], problems: [] }
  const walk = new LayoutWalk(content)
  const whole: IndexEntry[] = []
  const lost = [...problems]
  for (const entry of entries) {
    const missing = await walk.collect(entry.repository, entry.descriptor, 0)
    if (missing === undefined) whole.push(entry)
    else lost.push(`${formatTarget({ repository: entry.repository, tag: entry.tag ?? 'untagged' })}: ${missing}`)
  }
  rows.transaction(() => {
    for (const { record, blobs } of walk.complete()) {
      for (const blob of blobs) rows.addLink(record.repository, blob.digest, blob.size)
      rows.addManifest(record)
    }
    for (const { repository, tag, descriptor, source } of whole) {
      if (tag !== undefined) rows.setTag(repository, tag, descriptor.digest, source ?? 'index.json')
    }
    rows.markImported()
  })
  for (const line of lost.slice(0, maxWarnings)) logger.warn({ entry: line }, 'an entry of index.json is left out')
  if (index) logger.info({ entries: whole.length, leftOut: lost.length }, 'the registry was rebuilt from index.json')
}

/** Looks at every manifest once per repository, whichever entries lead to it. */
class LayoutWalk {
  readonly #content: ContentStore
  /** By repository and digest: the manifest, or why it can't be shown. */
  readonly #seen = new Map<string, ReadManifest | string>()

  constructor(content: ContentStore) {
    this.#content = content
  }

  complete(): ReadManifest[] {
    return [...this.#seen.values()].filter(found => typeof found !== 'string')
  }

  /** Gathers a manifest and those it lists. Answers what is missing, or undefined when it is complete. */
  async collect(repository: string, manifest: Descriptor, depth: number): Promise<string | undefined> {
    const key = `${repository}@${manifest.digest}`
    const seen = this.#seen.get(key)
    if (seen !== undefined) return typeof seen === 'string' ? seen : undefined
    const found = await this.#read(repository, manifest, depth)
    this.#seen.set(key, found)
    return typeof found === 'string' ? found : undefined
  }

  async #read(repository: string, manifest: Descriptor, depth: number): Promise<ReadManifest | string> {
    const name = shortDigest(manifest.digest)
    if (depth > maxDepth) return `${name} is nested too deep`
    try {
      const bytes = await this.#content.readBytes(manifest.digest)
      if (!bytes) return `the manifest ${name} is missing`
      const read = readManifestRecord(repository, rawManifest(bytes, manifest.mediaType, manifest.digest))
      const absent = read.blobs.find(blob => this.#content.sizeNow(blob.digest) !== blob.size)
      if (absent) return `the blob ${shortDigest(absent.digest)} is missing`
      return (await this.#collectChildren(repository, read, depth)) ?? read
    } catch (error) {
      return `${name}: ${error instanceof Error ? error.message : String(error)}`
    }
  }

  /** A list may be sparse, but one without any of its manifests shows nothing. */
  async #collectChildren(repository: string, { listed }: ReadManifest, depth: number): Promise<string | undefined> {
    let problem: string | undefined
    let complete = listed.length === 0
    for (const child of listed) {
      const missing = await this.collect(repository, child, depth + 1)
      if (missing === undefined) complete = true
      else problem = missing
    }
    return complete ? undefined : problem
  }
}
