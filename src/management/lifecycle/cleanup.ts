/**
 * What every kind of cleanup does: ask who holds what, remove tags, collect. One at a time, whether a policy, the disk's marks or a
 * person asked for it. Used by policies.ts, disk-marks.ts and lifecycle.ts.
 */
import type { Logger } from 'pino'
import type { ImageNamespaceRows } from '../../state/cleanup-policies.ts'
import type { CollectReport } from '../../store/collect.ts'
import { type ContentLookup, findHeldContent } from './held-content.ts'
import { HoldIndex } from './hold-index.ts'
import type { Hold, LocalImage, Removal, Shelf } from './shelf.ts'

export interface CleanupOptions {
  readonly shelf: Shelf
  /** Everything that plans and Repositories want now. */
  readonly holds: () => readonly Hold[]
  readonly lookup: ContentLookup
  readonly namespaces: ImageNamespaceRows
  readonly logger: Logger
}

export interface CleanupResult extends Removal {
  /** Undefined where collection is the registry's own business. */
  readonly collected: CollectReport | undefined
}

/** What belongs to no Repository belongs here, as in Kubernetes. */
const commonNamespace = 'default'
/** Images whose names stand in the log; the number of all of them does in any case. */
const maxLogged = 100

export class Cleanup {
  readonly shelf: Shelf
  readonly #options: CleanupOptions
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: CleanupOptions) {
    this.shelf = options.shelf
    this.#options = options
  }

  /** Runs after whatever runs now. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work)
    this.#last = run.catch(() => undefined)
    return run
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    await this.#last
  }

  holds(): HoldIndex {
    return new HoldIndex(this.#options.holds())
  }

  /** Which namespaces a path belongs to: those whose Repositories have brought it, else `default`. */
  namespacesOf(): (repository: string) => readonly string[] {
    const known = this.#options.namespaces.all()
    return repository => known.get(repository) ?? [commonNamespace]
  }

  /** Takes the images away, except what somebody wants by then, and then what nothing leads to any more. */
  async remove(images: readonly LocalImage[], why: string, signal: AbortSignal): Promise<CleanupResult> {
    const holds = new FreshHolds(this.#options.holds)
    const removal = await this.shelf.remove(images, image => holds.holderOf(image), signal)
    if (removal.removed.length > 0) {
      const names = removal.removed.slice(0, maxLogged).map(image => `${image.repository}:${image.tag}`)
      this.#options.logger.info({ why, count: removal.removed.length, images: names }, 'images removed')
    }
    return { ...removal, collected: await this.collect(signal) }
  }

  /** Takes away what nothing leads to, or in a dry run tells what that would be. */
  async collect(signal: AbortSignal, dryRun = false): Promise<CollectReport | undefined> {
    const held = await findHeldContent(this.#options.holds(), this.#options.lookup, signal)
    const report = await this.shelf.collect(held, { signal, dryRun })
    if (report && report.files > 0 && !dryRun) this.#options.logger.info({ ...report }, 'unneeded content collected')
    return report
  }
}

/** The holds as they are in this turn of the event loop: asked once for all images that are removed together, never kept for later. */
class FreshHolds {
  readonly #ask: () => readonly Hold[]
  #index: HoldIndex | undefined

  constructor(ask: () => readonly Hold[]) {
    this.#ask = ask
  }

  holderOf(image: LocalImage): string | undefined {
    if (this.#index === undefined) {
      this.#index = new HoldIndex(this.#ask())
      queueMicrotask(() => {
        this.#index = undefined
      })
    }
    return this.#index.holderOf(image)
  }
}
