/**
 * Collection: takes away what nothing leads to, while transfers, pushes and pulls go on. Rows go first, a repository at a time, each in
 * one transaction that also looks; a blob's file goes in the same moment in which it is seen that no row and no running work needs it.
 * A kill at any step leaves at most files without rows, which the next collection takes. Used by store.ts.
 */
import { opendir, stat, unlink } from 'node:fs/promises'
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Digest, isDigest } from '../oci/digest.ts'
import type { CollectionRows, GraphManifest, RepositoryGraph } from '../state/collection.ts'
import type { ContentStore } from './content.ts'
import { algorithms, blobFolder, blobPath } from './layout.ts'
import { Reach } from './reach.ts'
import { ignoreMissing } from './stored-blob.ts'
import type { Uses } from './uses.ts'

/** Content that stays although no tag leads to it: what plans and Repositories want, put or not. */
export interface HeldContent {
  /** Manifests by the repository that they are held in. */
  readonly manifests: ReadonlyMap<string, ReadonlySet<Digest>>
  /** Content that is only kept so far: it is in no repository yet. */
  readonly kept: ReadonlySet<Digest>
}

export interface CollectOptions {
  readonly held: HeldContent
  readonly signal: AbortSignal
  /** Nothing goes; the report says what would. */
  readonly dryRun?: boolean
  /** Told at each step, for tests that stop or race there. */
  readonly step?: (step: CollectStep) => void | Promise<void>
}

export type CollectStep =
  | { readonly at: 'rows removed'; readonly repository: string }
  | { readonly at: 'out of sight'; readonly paths: readonly string[] }
  | { readonly at: 'scan' }

export interface CollectReport {
  /** Manifests and links of blobs that went out of repositories. */
  readonly manifests: number
  readonly links: number
  /** Files that went, and their bytes. */
  readonly files: number
  readonly bytes: number
}

export interface CollectorOptions {
  readonly root: string
  readonly content: ContentStore
  readonly rows: CollectionRows
  readonly uses: Uses
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** How long what was just put or linked waits for a tag or a manifest. Default 1 h. */
  readonly graceMs?: number
}

const defaultGraceMs = 60 * 60_000
/** Files that are looked at before others get their turn: a millisecond or two of work. */
const batchSize = 128

export class Collector {
  readonly #options: CollectorOptions
  readonly #graceMs: number
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: CollectorOptions) {
    this.#options = options
    this.#graceMs = options.graceMs ?? defaultGraceMs
  }

  /** Collects once, after a collection that goes on. @throws the signal's reason; what has gone by then stays gone. */
  collect(options: CollectOptions): Promise<CollectReport> {
    const run = this.#running
      .catch(() => undefined)
      .then(() => new Collection(this.#options, options, this.#graceMs).run())
    this.#running = run.catch(() => undefined)
    return run
  }

  /** Resolves when no collection goes on. */
  async settled(): Promise<void> {
    await this.#running
  }
}

/** One collection. */
class Collection {
  readonly #parts: CollectorOptions
  readonly #options: CollectOptions
  readonly #youngSince: number
  readonly #graceMs: number
  readonly #count = { manifests: 0, links: 0, files: 0, bytes: 0 }
  /** In a dry run: content that repositories would let go, and which. */
  readonly #letGo = new Map<Digest, Set<string>>()

  constructor(parts: CollectorOptions, options: CollectOptions, graceMs: number) {
    this.#parts = parts
    this.#options = options
    this.#graceMs = graceMs
    this.#youngSince = parts.now() - graceMs
  }

  async run(): Promise<CollectReport> {
    const { signal, step, dryRun } = this.#options
    for (const repository of this.#parts.rows.repositories()) {
      signal.throwIfAborted()
      if (dryRun) {
        this.#lookThrough(repository)
        await yieldToOthers()
        continue
      }
      const gone = this.#sweepRepository(repository)
      if (gone.length > 0) {
        await step?.({ at: 'rows removed', repository })
        await this.#removeFiles(gone)
      }
      await yieldToOthers()
    }
    this.#countLetGo()
    await step?.({ at: 'scan' })
    for (const algorithm of algorithms) await this.#sweepFolder(algorithm)
    return this.#count
  }

  /** Takes a repository's unreachable manifests and blobs out of it, at once: nobody puts, links or tags in between. */
  #sweepRepository(repository: string): Digest[] {
    const { rows } = this.#parts
    const graph = rows.graph(repository)
    const reached = new Reach(graph).from(this.#rootsOf(repository, graph))
    const unreached = [...graph.manifests.values()].filter(manifest => !reached.has(manifest.digest))
    const freed = new Set(unreached.flatMap(blobsOf))
    // Most repositories have nothing to lose: they cost no write.
    if (unreached.length === 0 && this.#looseLinks(repository, freed).length === 0) return []
    return rows.transaction(() => {
      for (const { digest } of unreached) rows.removeManifest(repository, digest)
      const loose = this.#looseLinks(repository, freed)
      for (const digest of loose) rows.removeLink(repository, digest)
      this.#count.manifests += unreached.length
      this.#count.links += loose.length
      return [...unreached.map(manifest => manifest.digest), ...loose]
    })
  }

  /** The same without effect: what the repository would lose. */
  #lookThrough(repository: string): void {
    const { rows, content } = this.#parts
    const graph = rows.graph(repository)
    const reached = new Reach(graph).from(this.#rootsOf(repository, graph))
    const unreached = [...graph.manifests.values()].filter(manifest => !reached.has(manifest.digest))
    const needed = new Set([...reached].flatMap(digest => blobsOf(graph.manifests.get(digest))))
    const links = rows.linkSizes(repository)
    const freed = unreached
      .flatMap(blobsOf)
      .filter(digest => links.has(digest) && !needed.has(digest))
      .filter(digest => !this.#options.held.kept.has(digest) && !content.pins.has(digest))
    const loose = new Set([...freed, ...this.#looseLinks(repository, new Set())])
    this.#count.manifests += unreached.length
    this.#count.links += loose.size
    for (const digest of [...unreached.map(manifest => manifest.digest), ...loose]) {
      this.#letGo.set(digest, (this.#letGo.get(digest) ?? new Set()).add(repository))
    }
  }

  /** Of what would be let go, the files that no other repository shows. */
  #countLetGo(): void {
    const { rows, content } = this.#parts
    for (const [digest, repositories] of this.#letGo) {
      const isKept = this.#options.held.kept.has(digest) || content.pins.keepsFile(digest)
      if (isKept || rows.repositoriesWith(digest).some(repository => !repositories.has(repository))) continue
      this.#countFile(digest)
    }
  }

  #countFile(digest: Digest): void {
    const size = this.#parts.content.sizeNow(digest)
    if (size === undefined) return
    this.#count.files += 1
    this.#count.bytes += size
  }

  #rootsOf(repository: string, graph: RepositoryGraph): Digest[] {
    const { content, uses } = this.#parts
    const { manifests, kept } = this.#options.held
    const held = manifests.get(repository)
    const roots = [...graph.tags.values(), ...uses.beingRead(repository), ...(held ?? [])]
    for (const { digest, putAt } of graph.manifests.values()) {
      if (putAt > this.#youngSince || kept.has(digest) || content.pins.has(digest)) roots.push(digest)
    }
    return roots
  }

  /** Blobs that no manifest of the repository needs: those that lost their manifest now, and those that never got one. */
  #looseLinks(repository: string, freed: ReadonlySet<Digest>): Digest[] {
    const { content, rows } = this.#parts
    const { kept } = this.#options.held
    return rows
      .looseLinks(repository)
      .filter(({ digest, linkedAt }) => freed.has(digest) || linkedAt < this.#youngSince)
      .map(link => link.digest)
      .filter(digest => !kept.has(digest) && !content.pins.has(digest))
  }

  /** Every file that no row names and that is old enough to be nobody's: what a kill or a failed transfer left. */
  async #sweepFolder(algorithm: (typeof algorithms)[number]): Promise<void> {
    const youngSince = Date.now() - this.#graceMs // files have the clock of the machine
    const { root } = this.#parts
    const isOld = async (digest: Digest) => {
      const facts = await stat(blobPath(root, digest)).catch(ignoreMissing)
      return facts !== undefined && facts.mtimeMs < youngSince
    }
    let batch: Digest[] = []
    for await (const entry of await opendir(blobFolder(root, algorithm), { bufferSize: 1024 })) {
      const digest = `${algorithm}:${entry.name}`
      if (isDigest(digest)) batch.push(digest)
      if (batch.length < batchSize) continue
      await this.#sweepFiles(batch, isOld)
      batch = []
    }
    await this.#sweepFiles(batch, isOld)
  }

  async #sweepFiles(digests: readonly Digest[], isOld: (digest: Digest) => Promise<boolean>): Promise<void> {
    this.#options.signal.throwIfAborted()
    const unneeded = digests.filter(digest => this.#isUnneeded(digest))
    const old: Digest[] = []
    for (const digest of unneeded) if (await isOld(digest)) old.push(digest)
    if (this.#options.dryRun) for (const digest of old) this.#countFile(digest)
    else await this.#removeFiles(old)
    await yieldToOthers()
  }

  async #removeFiles(digests: readonly Digest[]): Promise<void> {
    for (let at = 0; at < digests.length; at += batchSize) {
      const paths: string[] = []
      // Seen and done in one moment: between the look and the rename nothing else of this process runs.
      for (const digest of digests.slice(at, at + batchSize)) {
        if (!this.#isUnneeded(digest)) continue
        const out = this.#parts.content.takeOut(digest)
        if (out === undefined) continue
        paths.push(out.path)
        this.#count.files += 1
        this.#count.bytes += out.bytes
      }
      if (paths.length > 0) await this.#options.step?.({ at: 'out of sight', paths })
      await Promise.all(paths.map(path => unlink(path).catch(ignoreMissing)))
      await yieldToOthers()
    }
  }

  #isUnneeded(digest: Digest): boolean {
    return !this.#options.held.kept.has(digest) && !this.#parts.rows.isReferenced(digest)
  }
}

function blobsOf(manifest: GraphManifest | undefined): readonly Digest[] {
  return manifest === undefined ? [] : [...manifest.blobs, ...manifest.children]
}
