/**
 * The engine: turns references into content of the local registry, step by step. A run of a plan and `pull` call these steps;
 * agent.ts builds it on the embedded or the external local registry.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { formatReference, type Target } from '../oci/reference.ts'
import { sideBySide } from '../oci/side-by-side.ts'
import type { TagChange } from '../oci/tag-change.ts'
import { BlobFetcher } from './blob-fetcher.ts'
import { DiskRoom } from './disk-room.ts'
import type { FetchOptions, ImageRequest, ResolvedImage, TransferEngine } from './engine.ts'
import { fetchBlobs, putManifests } from './fetch.ts'
import { checkImageConfig, findImageConfig } from './image-config.ts'
import { Link } from './link/link.ts'
import type { Obstacle } from './link/obstacle.ts'
import type { LinkUse } from './link/pass.ts'
import type { LocalReader, LocalRegistry } from './local.ts'
import { ManifestReader } from './manifest-reader.ts'
import type { ReferrerMemory } from './referrers.ts'
import { resolveImage } from './resolve.ts'
import { Slots } from './slots.ts'
import { type Mirror, Sources, type Upstream } from './sources.ts'
import { type SparseIndexes, withoutSparseIndex } from './sparse-index.ts'
import type { UpstreamLedger } from './upstream-ledger.ts'

export interface TransferOptions {
  readonly local: LocalRegistry & Pick<LocalReader, 'readBlob'>
  readonly registries: { get(host: string): Upstream }
  /** Mirrors by the host that they stand in for. */
  readonly mirrors: ReadonlyMap<string, readonly Mirror[]>
  readonly referrers: ReferrerMemory
  readonly ledger: UpstreamLedger
  /** What may cross, and when; no limits without. */
  readonly link?: Link
  /** Bytes of the disk that are left alone. Default 0. */
  readonly diskReserve?: number
  /** Blobs at once, over all plans. */
  readonly concurrency: number
  /** Whether what arrives is sent on from here: then two at once do while they bring enough. Default false. */
  readonly sendsOn?: boolean
  /** What to do when the local registry refuses an index whose other platforms are absent. */
  readonly sparseIndexes: SparseIndexes
  readonly logger: Logger
  /** Waits between tries of one blob; for tests. */
  readonly backoff?: { readonly firstMs: number; readonly maxMs: number }
}

export class Transfer implements TransferEngine {
  readonly #options: TransferOptions
  readonly #sources: Sources
  readonly #fetcher: BlobFetcher
  readonly #room: DiskRoom
  readonly link: Link

  constructor(options: TransferOptions) {
    const { local, concurrency, logger, diskReserve = 0 } = options
    this.#options = options
    this.link = options.link ?? new Link({ logger })
    this.#sources = new Sources(options)
    this.#room = new DiskRoom({ freeBytes: () => local.freeBytes(), reserve: diskReserve })
    const slots = new Slots(concurrency, options.sendsOn ? this.link.throughput() : undefined)
    const parts = { sources: this.#sources, slots, link: this.link, room: this.#room }
    this.#fetcher = new BlobFetcher({ ...options, ...parts })
  }

  async resolve(request: ImageRequest, signal: AbortSignal): Promise<ResolvedImage> {
    const reader = new ManifestReader(request, { local: this.#options.local, sources: this.#sources, signal })
    return await resolveImage(reader, this.#options.referrers)
  }

  async missing(image: ResolvedImage, signal: AbortSignal): Promise<readonly Descriptor[]> {
    const { local } = this.#options
    const missing = await sideBySide(image.blobs, 8, async blob =>
      (await local.hasBlob(image.request.target.repository, blob, signal)) ? [] : [blob],
    )
    return missing.flat()
  }

  arrived(blob: Descriptor): number {
    return this.#options.local.arrived(blob)
  }

  async fetch(image: ResolvedImage, options: FetchOptions): Promise<ResolvedImage> {
    const { local } = this.#options
    const release = [local.hold([...image.manifests, ...image.blobs])]
    try {
      return await this.#bring(image, options, whole => release.push(local.hold([...whole.manifests, ...whole.blobs])))
    } finally {
      for (const each of release) each()
    }
  }

  async #bring(
    image: ResolvedImage,
    options: FetchOptions,
    hold: (whole: ResolvedImage) => void,
  ): Promise<ResolvedImage> {
    const { local, sparseIndexes } = this.#options
    const notes = await this.#bringBlobs(image, options)
    try {
      await putManifests(image, local, options.signal)
      return withNotes(image, notes)
    } catch (error) {
      const resolve = (request: ImageRequest) => this.resolve(request, options.signal)
      const whole = await withoutSparseIndex(image, error, sparseIndexes, resolve)
      hold(whole)
      const more = await fetchBlobs(whole, { local, fetcher: this.#fetcher }, options)
      await putManifests(whole, local, options.signal)
      return withNotes(whole, [...notes, ...more])
    }
  }

  /** The blobs, and what is worth a note about them: an image for other machines, say. */
  async #bringBlobs(image: ResolvedImage, options: FetchOptions): Promise<readonly string[]> {
    const { local } = this.#options
    const config = await findImageConfig(image, local, options.signal)
    const notes: string[] = []
    const inspect = async (blob: Descriptor) => {
      if (blob.digest !== config?.digest) return
      const note = await checkImageConfig(image, blob, local, options.signal)
      if (note !== undefined) notes.push(note)
    }
    const heard = await fetchBlobs(image, { local, fetcher: this.#fetcher, inspect }, options)
    return [...notes, ...heard]
  }

  async publish(
    images: readonly ResolvedImage[],
    remove: readonly Target[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const changes: TagChange[] = images.flatMap(tagsOf)
    for (const { repository, tag } of remove) if (tag !== undefined) changes.push({ do: 'remove', repository, tag })
    return await this.#options.local.changeTags(changes, signal)
  }

  async confirm(image: ResolvedImage, signal: AbortSignal): Promise<void> {
    const { local } = this.#options
    const { repository, tag } = image.request.target
    const kinds = [
      ...image.blobs.map(content => ({ content, kind: 'blob' as const })),
      ...image.manifests.map(content => ({ content, kind: 'manifest' as const })),
    ]
    await sideBySide(kinds, 8, async ({ content, kind }) => {
      if (await local.confirm(repository, content, kind, signal)) return
      throw notConfirmed(`the ${kind} ${content.digest} is not in ${repository}`)
    })
    if (tag !== undefined) await this.#confirmTag(image, repository, tag, signal)
  }

  async freeBytes(): Promise<number | undefined> {
    return await this.#room.freeBytes()
  }

  obstacle(request: ImageRequest, use: LinkUse): Obstacle | undefined {
    return this.link.obstacle(use, this.hostsOf(request))
  }

  isCutOff(request: ImageRequest): boolean {
    return this.#options.ledger.health.isCutOff(this.hostsOf(request))
  }

  hostsOf(request: ImageRequest): readonly string[] {
    return this.#sources.of(request).map(source => source.upstream.host)
  }

  async #confirmTag({ root }: ResolvedImage, repository: string, tag: string, signal: AbortSignal): Promise<void> {
    const { local } = this.#options
    const tagged = await local.findTag(repository, tag, signal)
    if (tagged === root.digest) return
    // Of a manifest that was put by its sha512, registries tell the tag's digest in sha256: the same bytes are what counts.
    const manifest = await local.findManifest(repository, root.digest, signal)
    const isSame =
      tagged !== undefined && manifest !== undefined && digestOf(manifest.bytes, algorithmOf(tagged)) === tagged
    if (!isSame) throw notConfirmed(movedTag(`${repository}:${tag}`, tagged, root.digest))
  }

  /** Resolves when no transfer holds a file any more; callers have aborted before. */
  async stop(): Promise<void> {
    await this.#fetcher.settle()
  }
}

function withNotes(image: ResolvedImage, notes: readonly string[]): ResolvedImage {
  return notes.length === 0 ? image : { ...image, notes: [...image.notes, ...notes] }
}

function tagsOf(image: ResolvedImage): TagChange[] {
  const { repository, tag } = image.request.target
  const source = formatReference(image.request.source)
  const own = tag === undefined ? [] : [{ tag, descriptor: image.root }]
  return [...image.extraTags, ...own].map(each => ({ do: 'set', repository, source, ...each }))
}

function movedTag(name: string, found: Digest | undefined, wanted: Digest): string {
  return found === undefined ? `the tag ${name} is missing` : `the tag ${name} points at ${found}, not at ${wanted}`
}

function notConfirmed(what: string): ImageError {
  return new ImageError('LOCAL_REGISTRY', `the local registry does not confirm the image: ${what}`, {
    side: 'local',
    doing: 'confirm',
  })
}
