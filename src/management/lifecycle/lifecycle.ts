/**
 * The life of what is stored: collection, disk marks, scrub, and the record of what is in use. The room's face for the composition root,
 * http/ and cli/; policies.ts is its neighbour.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Audit } from '../../access/audit.ts'
import type { By } from '../../access/tokens.ts'
import type { ImageNamespaceRows } from '../../state/cleanup-policies.ts'
import type { CollectReport } from '../../store/collect.ts'
import type { Cleanup } from './cleanup.ts'
import type { DiskMarks, DiskStatus } from './disk-marks.ts'
import type { Scrub, ScrubStatus } from './scrub.ts'
import type { Hold } from './shelf.ts'

export interface LifecycleOptions {
  readonly cleanup: Cleanup
  readonly namespaces: ImageNamespaceRows
  readonly holds: () => readonly Hold[]
  /** Undefined: no marks, or an external registry. */
  readonly marks: DiskMarks | undefined
  /** Undefined: switched off, or an external registry. */
  readonly scrub: Scrub | undefined
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds between two looks at the disk. Default one minute. */
  readonly markEveryMs?: number
  /** Milliseconds between two collections without a reason. Default 6 h. */
  readonly collectEveryMs?: number
}

export interface LifecycleStatus {
  readonly registry: 'embedded' | 'external'
  /** What can't be done with this registry, in plain words. */
  readonly limits: readonly string[]
  readonly collection: {
    readonly running: boolean
    /** Epoch milliseconds; undefined before the first one. */
    readonly lastAt: number | undefined
    readonly last: CollectReport | undefined
    readonly error: string | undefined
  }
  readonly disk: DiskStatus | undefined
  readonly scrub: ScrubStatus | undefined
}

/** The first collection waits until the start has settled; after that, one each time. */
const firstCollectMs = 10 * 60_000
/** How often it is written down what plans and Repositories name. */
const nameEveryMs = 60 * 60_000
/** A scrub that is not due is looked at again so often. */
const maxScrubWaitMs = 60 * 60_000
/** After a fault of any of the loops. */
const faultMs = 60_000

export class Lifecycle {
  readonly #options: LifecycleOptions
  #stopping = new AbortController()
  #loops: Promise<unknown>[] = []
  #collection: Omit<LifecycleStatus['collection'], 'running'> = { lastAt: undefined, last: undefined, error: undefined }
  #running = 0
  /** The collection that somebody asked for. */
  #asked: Promise<void> | undefined

  constructor(options: LifecycleOptions) {
    this.#options = options
  }

  start(): void {
    const { marks, scrub, markEveryMs = 60_000, collectEveryMs = 6 * 60 * 60_000 } = this.#options
    this.#loops = [
      this.#loop('the record of what is in use', 0, nameEveryMs, async () => this.#name()),
      this.#loop('collection', Math.min(firstCollectMs, collectEveryMs), collectEveryMs, signal =>
        this.#collect(signal),
      ),
      ...(marks ? [this.#loop('the marks of the disk', 0, markEveryMs, signal => marks.check(signal))] : []),
      ...(scrub ? [this.#loop('scrub', 0, maxScrubWaitMs, signal => this.#scrub(scrub, signal))] : []),
    ]
  }

  /** Ends what goes on; a scrub keeps its position. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all([...this.#loops, this.#asked])
    await this.#options.cleanup.settled()
  }

  /**
   * Begins to take away what nothing leads to, unless that goes on already, and returns; `status` tells how it ended, and the audit who
   * asked for it.
   */
  begin({ who, from }: By): void {
    if (this.#asked !== undefined || this.#stopping.signal.aborted) return
    const event = { who, from, action: 'images:delete', object: { kind: 'LocalRegistry', name: 'collection' } } as const
    const work = async () => {
      try {
        const report = await this.#collect(this.#stopping.signal)
        const detail = { count: report?.files ?? 0, bytes: report?.bytes ?? 0 }
        this.#options.audit.record({ ...event, outcome: 'success', detail })
      } catch (error) {
        this.#options.audit.record({ ...event, outcome: 'failure', detail: { reason: 'it did not end' } })
        this.#options.logger.error({ err: error }, 'a collection that was asked for has failed')
      }
    }
    this.#asked = work().finally(() => {
      this.#asked = undefined
    })
  }

  /** What a collection would take now. Undefined where that is an external registry's own business. */
  async preview(signal: AbortSignal): Promise<CollectReport | undefined> {
    return await this.#options.cleanup.collect(AbortSignal.any([signal, this.#stopping.signal]), true)
  }

  status(): LifecycleStatus {
    const { cleanup, marks, scrub } = this.#options
    return {
      registry: cleanup.shelf.kind,
      limits: cleanup.shelf.limits,
      collection: { ...this.#collection, running: this.#running > 0 },
      disk: marks?.status,
      scrub: scrub?.status(),
    }
  }

  async #collect(signal: AbortSignal): Promise<CollectReport | undefined> {
    const { cleanup, now } = this.#options
    this.#running += 1
    try {
      const last = await cleanup.inTurn(() => cleanup.collect(signal))
      this.#collection = { lastAt: now(), last, error: undefined }
      return last
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (!signal.aborted) this.#collection = { ...this.#collection, error: message }
      throw error
    } finally {
      this.#running -= 1
    }
  }

  /** What is named by a plan or a Repository is in use, and is of the namespace of that Repository. */
  #name(): void {
    const { cleanup, holds, namespaces, now } = this.#options
    cleanup.shelf.named(holds(), now())
    namespaces.prune()
  }

  async #scrub(scrub: Scrub, signal: AbortSignal): Promise<void> {
    if (scrub.dueIn() > 0) await scrub.repairAll(signal)
    else await scrub.run(signal)
  }

  /** Does the work again and again until the stop. A fault is told, and does not end it. */
  async #loop(
    name: string,
    firstMs: number,
    everyMs: number,
    work: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<void> {
    const { signal } = this.#stopping
    const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
    await pause(firstMs)
    while (!signal.aborted) {
      let waitMs = everyMs
      try {
        await work(signal)
      } catch (error) {
        if (signal.aborted) return
        this.#options.logger.error({ err: error }, `${name} ended with a fault; it is tried again`)
        waitMs = Math.min(everyMs, faultMs)
      }
      await pause(waitMs)
    }
  }
}
