/** The life of what is stored, put together: what the local registry offers of it, who holds what, policies, marks, scrub. Built by agent.ts. */
import { statfs } from 'node:fs/promises'
import type { Logger } from 'pino'
import type { Audit } from '../access/audit.ts'
import type { Config } from '../config.ts'
import type { UpkeepFigures } from '../http/api/upkeep-metrics.ts'
import { Cleanup } from '../management/lifecycle/cleanup.ts'
import { DiskMarks, type DiskUsage } from '../management/lifecycle/disk-marks.ts'
import { EmbeddedShelf } from '../management/lifecycle/embedded-shelf.ts'
import { ExternalShelf } from '../management/lifecycle/external-shelf.ts'
import { Lifecycle } from '../management/lifecycle/lifecycle.ts'
import { Policies } from '../management/lifecycle/policies.ts'
import { repairContent } from '../management/lifecycle/repair.ts'
import { Scrub } from '../management/lifecycle/scrub.ts'
import type { Hold, Shelf } from '../management/lifecycle/shelf.ts'
import type { Digest } from '../oci/digest.ts'
import { ImageNamespaceRows } from '../state/cleanup-policies.ts'
import { CollectionRows } from '../state/collection.ts'
import { ExternalTagRows } from '../state/external-tags.ts'
import { Placements } from '../state/placements.ts'
import { ReferrerAnswers } from '../state/referrer-answers.ts'
import { ScrubRows } from '../state/scrubs.ts'
import { UseRows } from '../state/uses.ts'
import { Collector } from '../store/collect.ts'
import type { Store } from '../store/store.ts'
import { Uses } from '../store/uses.ts'
import type { ImageRequest } from '../transfer/engine.ts'
import { lookupIn } from './content-lookup.ts'
import type { Engine } from './engine.ts'
import type { ExternalContent } from './local-side.ts'

export interface LifecycleParts {
  readonly engine: Pick<Engine, 'state' | 'side' | 'transfer'>
  /** Everything that plans and Repositories want now. */
  readonly holds: () => readonly Hold[]
  /** How they get what they want in a repository of the local registry. */
  readonly requestsFor: (repository: string) => readonly ImageRequest[]
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
}

/** Staged content that was not uploaded for so long belongs to nobody any more. */
const stagingGraceMs = 7 * 24 * 60 * 60_000

export class LifecycleSide {
  readonly policies: Policies
  readonly lifecycle: Lifecycle
  readonly #namespaces: ImageNamespaceRows
  readonly #disk: () => Promise<DiskUsage>

  constructor({ agent, management }: Config, parts: LifecycleParts) {
    const { engine, holds, audit, logger } = parts
    const { state, side } = engine
    const now = Date.now
    const namespaces = new ImageNamespaceRows(state.db)
    this.#namespaces = namespaces
    const { content } = side
    const shelf: Shelf =
      content.kind === 'embedded' ? new EmbeddedShelf(content.store, now) : externalShelf(content, parts, now)
    const lookup = lookupIn(content, new ReferrerAnswers(state.db))
    const cleanup = new Cleanup({ shelf, holds, lookup, namespaces, logger })
    this.policies = new Policies({ state, cleanup, audit, logger, now })
    const usage = () => measureDisk(agent.stateDir, side)
    this.#disk = usage
    const ofStore =
      content.kind === 'embedded'
        ? {
            marks: new DiskMarks({ cleanup, ...management.disk, usage, audit, logger }),
            scrub: createScrub(content.store, management.scrub, parts, now),
          }
        : { marks: undefined, scrub: undefined }
    this.lifecycle = new Lifecycle({ cleanup, namespaces, holds, ...ofStore, audit, logger, now })
  }

  /** A path has come by a Repository of that namespace: its images belong there from now on. */
  belongs(repository: string, namespace: string): void {
    this.#namespaces.add(repository, namespace)
  }

  /** For the metrics; undefined beside an external registry. */
  figures(): UpkeepFigures | undefined {
    const { disk, scrub } = this.lifecycle.status()
    if (disk === undefined || scrub === undefined) return undefined
    return {
      ...{ removedImages: disk.removedImages, freedBytes: disk.freedBytes, diskFull: disk.state === 'full' },
      ...{ damagedFound: scrub.found, damagedRepaired: scrub.repaired, damagedNow: scrub.damaged.length },
    }
  }

  /** Of the disk that images are kept on; beside an external registry, of the disk that they arrive on. */
  disk(): Promise<Pick<DiskUsage, 'diskBytes' | 'freeBytes'>> {
    return this.#disk()
  }

  /** What an operator should know, in sentences. */
  complaints(): string[] {
    const { disk, scrub } = this.lifecycle.status()
    const damaged = scrub?.damaged ?? []
    const [first] = damaged
    return [
      ...(disk?.state === 'full' ? [`the disk is ${disk.message}`] : []),
      ...(first === undefined
        ? []
        : [
            `${damaged.length} stored blobs are damaged or missing, ${first.digest} first: ${first.error ?? 'not tried yet'}`,
          ]),
    ]
  }

  start(): void {
    this.policies.start()
    this.lifecycle.start()
  }

  async stop(): Promise<void> {
    await this.lifecycle.stop()
    await this.policies.stop()
  }
}

function externalShelf(
  { registry, staging }: ExternalContent,
  { engine, logger }: LifecycleParts,
  now: () => number,
): ExternalShelf {
  const { db } = engine.state
  const useRows = new UseRows(db)
  const uses = new Uses({ rows: useRows, logger, now })
  return new ExternalShelf({
    ...{ registry, staging, uses: useRows, logger, now },
    placements: new Placements(db),
    tags: new ExternalTagRows(db),
    stagingCollector: new Collector({
      ...{ root: staging.root, content: staging, rows: new CollectionRows(db), uses, logger, now },
      graceMs: stagingGraceMs,
    }),
  })
}

function createScrub(
  store: Store,
  limits: { readonly bytesPerSecond: number; readonly everyMs: number },
  { engine, requestsFor, audit, logger }: LifecycleParts,
  now: () => number,
): Scrub {
  const repair = (digest: Digest, signal: AbortSignal) =>
    repairContent(digest, { store, engine: engine.transfer, requestsFor }, signal)
  const rows = new ScrubRows(engine.state.db)
  return new Scrub({ upkeep: store.upkeep, rows, repair, audit, logger, now, ...limits })
}

async function measureDisk(stateDir: string, side: Engine['side']): Promise<DiskUsage> {
  const root = side.content.kind === 'embedded' ? side.content.root : stateDir
  const disk = await statfs(root)
  const { usedBytes } = await side.storage()
  return { contentBytes: usedBytes, diskBytes: disk.blocks * disk.bsize, freeBytes: disk.bavail * disk.bsize }
}
