/**
 * What keeps the embedded store in shape: which content is in use, what may go, whether what is there is still what it was. The part
 * of the store that management/lifecycle works with.
 */
import type { Logger } from 'pino'
import type { Digest } from '../oci/digest.ts'
import { CollectionRows, type RepositoryGraph, type TaggedUse } from '../state/collection.ts'
import type { State } from '../state/database.ts'
import { UseRows } from '../state/uses.ts'
import { type Check, checkContent } from './check-content.ts'
import { type CollectOptions, Collector, type CollectReport } from './collect.ts'
import type { ContentStore } from './content.ts'
import { Reach } from './reach.ts'
import { Uses } from './uses.ts'

export interface UpkeepOptions {
  readonly root: string
  readonly content: ContentStore
  readonly state: Pick<State, 'db'>
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Called when tags or manifests have gone. */
  readonly changed: () => void
  /** See Collector. */
  readonly graceMs?: number
  /** See Uses. */
  readonly readerGraceMs?: number
}

/** How long a blob that a pushing client knows of waits for its manifest. */
const pushGraceMs = 15 * 60_000

/** A tag, and what it has to point at for something to be done to it. */
export interface TaggedImage {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
}

export class Upkeep {
  /** What readers take. */
  readonly uses: Uses
  /** When content was used, as it is written down. */
  readonly useRows: UseRows
  readonly #rows: CollectionRows
  readonly #collector: Collector
  readonly #options: UpkeepOptions

  constructor(options: UpkeepOptions) {
    const { root, content, state, logger, now, graceMs, readerGraceMs } = options
    this.#options = options
    this.#rows = new CollectionRows(state.db)
    this.useRows = new UseRows(state.db)
    this.uses = new Uses({
      rows: this.useRows,
      logger,
      now,
      ...(readerGraceMs === undefined ? {} : { readerGraceMs }),
    })
    this.#collector = new Collector({
      ...{ root, content, rows: this.#rows, uses: this.uses, logger, now },
      ...(graceMs === undefined ? {} : { graceMs }),
    })
  }

  start(): void {
    this.uses.start()
  }

  /** Waits for a collection that goes on; whoever began it has aborted it. */
  async stop(): Promise<void> {
    await this.#collector.settled()
    this.uses.stop()
  }

  /** A client was told that the blob is here, or brought it: it stays until its manifest has had time to come. */
  told(digest: Digest): void {
    this.#options.content.pins.holdFor(digest, pushGraceMs)
  }

  /** Takes away what nothing leads to. See {@link Collector}. */
  async collect(options: CollectOptions): Promise<CollectReport> {
    const report = await this.#collector.collect(options)
    if (report.manifests > 0 && !options.dryRun) this.#options.changed()
    return report
  }

  /** Removes tags, all in one moment, those that moved meanwhile excepted. Their content is collected without waiting. Gives those that went. */
  removeTags<T extends TaggedImage>(images: readonly T[]): T[] {
    const removed = this.#rows.transaction(() => {
      const gone = images.filter(({ repository, tag, digest }) => this.#rows.removeTag(repository, tag, digest))
      for (const [repository, ofPath] of Map.groupBy(gone, image => image.repository)) this.#release(repository, ofPath)
      return gone
    })
    if (removed.length > 0) this.#options.changed()
    return removed
  }

  /** What the removed tags led to and no other tag leads to: nobody is putting it now, so it need not wait for a tag. */
  #release(repository: string, removed: readonly TaggedImage[]): void {
    const graph = this.#rows.graph(repository)
    const reach = new Reach(graph)
    const tagged = reach.from(graph.tags.values())
    for (const digest of reach.from(removed.map(image => image.digest))) {
      if (!tagged.has(digest)) this.#rows.release(repository, digest)
    }
  }

  /** Every tag, and when it was last used, pulls of a moment ago among it. */
  taggedImages(): TaggedUse[] {
    this.uses.flush()
    return this.#rows.taggedImages()
  }

  /** Where a tag points. */
  digestOf(repository: string, tag: string): Digest | undefined {
    return this.#rows.digestOf(repository, tag)
  }

  repositories(): string[] {
    return this.#rows.repositories()
  }

  /** A repository's manifests, tags and what they lead to. */
  graph(repository: string): RepositoryGraph {
    return this.#rows.graph(repository)
  }

  /** Bytes of each blob that the repository shows. */
  linkSizes(repository: string): Map<Digest, number> {
    return this.#rows.linkSizes(repository)
  }

  /** What repositories show, in the order of digests, after one. */
  contentAfter(digest: string, limit: number): { digest: Digest; size: number }[] {
    return this.#rows.contentAfter(digest, limit)
  }

  isReferenced(digest: Digest): boolean {
    return this.#rows.isReferenced(digest)
  }

  repositoriesWith(digest: Digest): string[] {
    return this.#rows.repositoriesWith(digest)
  }

  /** Reads content once more, at its reader's pace. What is not what it was goes out of sight, so that it can come again. */
  async check(
    digest: Digest,
    options: { pace: (bytes: number) => Promise<void>; signal: AbortSignal },
  ): Promise<Check> {
    const check = await checkContent(this.#options.content, digest, options)
    // Collected meanwhile: nothing is missing that anybody needs.
    return check === 'intact' || this.isReferenced(digest) ? check : 'intact'
  }
}
