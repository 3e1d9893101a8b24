/**
 * One run of a Repository: from its sources, the healthiest first, to its tags in the local registry; again while the attempts and the
 * time last. What an earlier run has brought costs nothing. Used by sync-queue.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type BackoffOptions, backoffMs } from '../oci/backoff.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { ImageError, toImageError } from '../oci/errors.ts'
import type { Platform } from '../oci/platform.ts'
import type { TransferEngine } from '../transfer/engine.ts'
import { LinkClosed, type Obstacle } from '../transfer/link/obstacle.ts'
import type { LocalReader, LocalRegistry } from '../transfer/local.ts'
import type { SourceRef } from './documents.ts'
import { parseGoDuration } from './go-duration.ts'
import { summarize } from './manifest-summary.ts'
import { describeWanted, type ManifestSummary, type RepositorySpec } from './repository-object.ts'
import type { SourceAccess } from './source-access.ts'
import { withSourceHint } from './source-hints.ts'
import { listSourceTags } from './source-tags.ts'
import type { Sources } from './sources.ts'
import { bringTag } from './sync-tag.ts'
import { parseTagPattern } from './tag-pattern.ts'

/** What a run works with. */
export interface SyncParts {
  readonly engine: TransferEngine
  readonly local: LocalRegistry & LocalReader
  readonly sources: Pick<Sources, 'open' | 'byHealth' | 'report'>
  /** The site's: what is brought of an index. */
  readonly platforms: readonly Platform[]
  /** Which plan wants other content under a name of the local registry. */
  readonly planKeeping?: (repository: string, tag: string, digest: string) => string | undefined
  /** Waits between attempts. Default 1 s, doubling to 30 s. */
  readonly retry?: BackoffOptions
}

/** One run, and what it tells while it goes on. */
export interface SyncJob {
  readonly spec: RepositorySpec
  /** Tags that stay where they were rolled back to. */
  readonly rolledBack: ReadonlySet<string>
  /** Ends the run: its Repository was deleted, or the process stops. */
  readonly signal: AbortSignal
  /** 0 to 1. */
  progress(part: number): void
  /** A tag points at that content now. */
  placed(tag: string, digest: string): void
}

export interface SyncResult {
  readonly error?: ImageError
  /** The link is closed to it: neither done nor failed, it goes on when that is gone. */
  readonly obstacle?: Obstacle
  readonly source?: SourceRef
  readonly attempts: number
  readonly bytesMoved: number
  /** Of the newest version. */
  readonly root?: Descriptor
  readonly manifest?: ManifestSummary
  /** With a pattern: the tags that are kept from now on. */
  readonly tags: readonly string[]
  readonly notes: readonly string[]
}

/** Tags of one pattern that are kept: the newest. */
export const maxPatternTags = 100

/** @throws the job's signal's reason, and nothing else: a failure is a result. */
export async function runSync(job: SyncJob, parts: SyncParts): Promise<SyncResult> {
  return await new Run(job, parts).run()
}

/** What was had from a source. */
interface Served {
  readonly source: SourceRef
  readonly root?: Descriptor
  readonly tags: readonly string[]
}

type AttemptEnd =
  | { readonly kind: 'served'; readonly served: Served }
  | { readonly kind: 'closed'; readonly obstacle: Obstacle }
  | { readonly kind: 'failed'; readonly error: ImageError; readonly again: boolean }

class Run {
  readonly #job: SyncJob
  readonly #parts: SyncParts
  readonly #timeout: AbortSignal
  readonly #signal: AbortSignal
  readonly #notes = new Set<string>()
  #bytesMoved = 0

  constructor(job: SyncJob, parts: SyncParts) {
    this.#job = job
    this.#parts = parts
    this.#timeout = AbortSignal.timeout(Math.min(parseGoDuration(job.spec.syncTimeout) ?? 600_000, 2 ** 31 - 1))
    this.#signal = AbortSignal.any([job.signal, this.#timeout])
  }

  async run(): Promise<SyncResult> {
    for (let attempt = 1; ; attempt++) {
      const end = await this.#attempt()
      if (end.kind === 'served') return await this.#succeed(end.served, attempt)
      if (end.kind === 'closed') return { ...this.#facts(attempt), obstacle: end.obstacle, tags: [] }
      const isLast = !end.again || attempt > this.#job.spec.retryCount
      if (isLast || !(await this.#wait(attempt, end.error))) {
        return { ...this.#facts(attempt), error: this.#timeout.aborted ? this.#late(end.error) : end.error, tags: [] }
      }
    }
  }

  /** Asks one source after the other. The first one that the spec names has the verdict. */
  async #attempt(): Promise<AttemptEnd> {
    const { spec, signal } = this.#job
    const { sources } = this.#parts
    const failures = new Map<SourceRef, ImageError>()
    for (const ref of sources.byHealth([spec.registryRef, ...(spec.fallbackRefs ?? [])])) {
      try {
        return { kind: 'served', served: await this.#syncFrom(ref) }
      } catch (thrown) {
        signal.throwIfAborted()
        // No source is to blame, and none would help.
        if (thrown instanceof LinkClosed) return { kind: 'closed', obstacle: thrown.obstacle }
        const error = withSourceHint(toImageError(thrown), ref)
        if (this.#timeout.aborted) return { kind: 'failed', error, again: false }
        sources.report(ref, error)
        failures.set(ref, error)
        // No other source helps against a full disk.
        if (error.side === 'local') return { kind: 'failed', error, again: error.transient }
      }
    }
    const errors = [...failures.values()]
    const error = failures.get(spec.registryRef) ?? errors[0] ?? new ImageError('INTERNAL', 'there is no source to ask')
    return { kind: 'failed', error, again: errors.some(one => one.transient) }
  }

  async #syncFrom(source: SourceRef): Promise<Served> {
    const access = this.#parts.sources.open(source)
    const tags = await this.#tagsToBring(access)
    let newest: Descriptor | undefined
    let failure: unknown
    for (const [at, tag] of tags.entries()) {
      if (this.#job.rolledBack.has(tag)) continue
      try {
        const root = await this.#bring(access, tag, part => this.#job.progress((at + part) / tags.length))
        newest ??= root
      } catch (error) {
        // Of a pattern, one tag that can't be had doesn't keep the others away.
        if (this.#signal.aborted || error instanceof LinkClosed || tags.length === 1) throw error
        failure ??= error
      }
    }
    if (failure !== undefined) throw failure
    return { source, tags, ...(newest === undefined ? {} : { root: newest }) }
  }

  async #tagsToBring(access: SourceAccess): Promise<readonly string[]> {
    const { tag, tagPattern = '', repository } = this.#job.spec
    if (tag !== undefined) return [tag]
    const fits = parseTagPattern(tagPattern) ?? (() => false)
    const found = (await listSourceTags(access, repository, '', this.#signal)).filter(fits)
    if (found.length === 0) this.#notes.add(`no tag of ${repository} fits ${tagPattern}`)
    if (found.length > maxPatternTags) {
      this.#notes.add(`${found.length} tags fit ${tagPattern}: the newest ${maxPatternTags} are kept`)
    }
    return found.slice(0, maxPatternTags)
  }

  async #bring(access: SourceAccess, tag: string, progress: (part: number) => void): Promise<Descriptor> {
    const { spec, placed } = this.#job
    const { provider, domain, upstreams } = access
    const image = await bringTag(
      {
        source: { registry: domain, repository: provider.sourcePath(spec.repository), tag },
        target: { repository: spec.repository, tag },
        registries: upstreams,
        ...{ mirrors: [], platforms: this.#parts.platforms, anyPlatform: true, referrers: true },
      },
      this.#parts,
      {
        signal: this.#signal,
        progress,
        moved: bytes => {
          this.#bytesMoved += bytes
        },
      },
    )
    for (const note of image.notes) this.#notes.add(note)
    placed(tag, image.root.digest)
    return image.root
  }

  async #succeed({ source, root, tags }: Served, attempts: number): Promise<SyncResult> {
    const facts = { source, tags, ...(root === undefined ? {} : { root }) }
    const manifest = root && (await this.#summarize(root))
    return { ...this.#facts(attempts), ...facts, ...(manifest === undefined ? {} : { manifest }) }
  }

  async #summarize(root: Descriptor): Promise<ManifestSummary | undefined> {
    const { local, platforms } = this.#parts
    const { spec, signal } = this.#job
    try {
      return await summarize(root, { local, repository: spec.repository, platforms, signal })
    } catch (error) {
      signal.throwIfAborted()
      // It is here and confirmed; only what to say of it is not known.
      this.#notes.add(`what the image is made of could not be read (${toImageError(error).code})`)
      return undefined
    }
  }

  /** False when the time is over before the wait is. */
  async #wait(attempt: number, error: ImageError): Promise<boolean> {
    const wait = backoffMs(attempt, this.#parts.retry ?? { firstMs: 1_000, maxMs: 30_000 })
    try {
      await sleep(Math.max(wait, error.retryAfterMs ?? 0), undefined, { signal: this.#signal })
      return true
    } catch {
      this.#job.signal.throwIfAborted()
      return false
    }
  }

  #facts(attempts: number) {
    return { attempts, bytesMoved: this.#bytesMoved, notes: [...this.#notes] }
  }

  #late(cause: ImageError): ImageError {
    const { spec } = this.#job
    const message = `${describeWanted(spec)} was not in sync within ${spec.syncTimeout}`
    return new ImageError('TIMEOUT', message, {
      cause,
      hint: 'What has arrived is kept, and the next sync goes on from there. Raise syncTimeout for an image of this size on this link.',
    })
  }
}
