/**
 * An external registry as cleanup sees it: its tags by its API, the dates by what was seen before, removal as far as it allows deletes.
 * It frees space by a collection of its own, and tells nothing of that. Only paths that this agent has filled are looked at.
 */
import type { Logger } from 'pino'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { toImageError } from '../../oci/errors.ts'
import { childrenOf, parseManifest, type RawManifest } from '../../oci/manifest.ts'
import { isIndexType } from '../../oci/media-types.ts'
import type { ExternalTagRows } from '../../state/external-tags.ts'
import type { Placements } from '../../state/placements.ts'
import type { UseRows } from '../../state/uses.ts'
import type { Collector, HeldContent } from '../../store/collect.ts'
import type { ContentStore } from '../../store/content.ts'
import { type CollectOptions, type Hold, type LocalImage, nameOf, type Removal, type Shelf } from './shelf.ts'
import { dropStaleIngests } from './stale-ingests.ts'

/** What is asked of the registry. */
export interface ListedRegistry {
  readonly host: string
  listTags(repository: string, signal: AbortSignal): AsyncIterable<string>
  resolve(repository: string, tag: string, signal: AbortSignal): Promise<Descriptor>
  fetchManifest(repository: string, reference: string, signal: AbortSignal): Promise<RawManifest>
  deleteTag(repository: string, tag: string, signal: AbortSignal): Promise<void>
  deleteManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<void>
}

export interface ExternalShelfOptions {
  readonly registry: ListedRegistry
  readonly placements: Pick<Placements, 'repositories'>
  readonly tags: ExternalTagRows
  readonly uses: UseRows
  /** Where content waits for its upload. */
  readonly staging: Pick<ContentStore, 'ingests' | 'dropIngest' | 'pins'>
  /** Takes away what waits there in vain. */
  readonly stagingCollector: Pick<Collector, 'collect'>
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Tags of one path that are looked at; a path with more is not cleaned by guesswork. */
const maxTags = 10_000
/** Questions to the registry at once. */
const atOnce = 4

export class ExternalShelf implements Shelf {
  readonly kind = 'external'
  readonly #options: ExternalShelfOptions

  constructor(options: ExternalShelfOptions) {
    this.#options = options
  }

  get limits(): readonly string[] {
    const { host } = this.#options.registry
    return [
      `${host} does not tell what is pulled from it: an image counts as used while a plan or Repository names it, and from the day on which it was first seen`,
      `${host} frees the space of removed images by its own garbage collection: the bytes are not known here`,
      `only paths that this agent has put something into are cleaned on ${host}`,
      `disk marks and scrub are for the embedded registry; ${host} has to watch its own disk`,
    ]
  }

  async images(signal: AbortSignal): Promise<readonly LocalImage[]> {
    const { placements, tags, uses, now } = this.#options
    const used = new Map(uses.all().map(use => [`${use.repository}@${use.digest}`, use.usedAt]))
    const images: LocalImage[] = []
    for (const repository of placements.repositories()) {
      const found = await this.#tagsOf(repository, signal)
      if (found === undefined) continue
      for (const { tag, digest, seenAt } of tags.see(repository, found, now())) {
        const usedAt = Math.max(seenAt, used.get(`${repository}@${digest}`) ?? 0)
        images.push({ repository, tag, digest, updatedAt: seenAt, usedAt })
      }
    }
    return images
  }

  async footprint(): Promise<undefined> {
    return undefined
  }

  async remove(
    images: readonly LocalImage[],
    holderOf: (image: LocalImage) => string | undefined,
    signal: AbortSignal,
  ): Promise<Removal> {
    const removed: LocalImage[] = []
    let kept: { image: LocalImage; reason: string }[] = []
    // An index keeps what it lists, so what it lists comes into question once it has gone.
    for (let left = images, before = -1; before < removed.length; left = kept.map(({ image }) => image)) {
      before = removed.length
      kept = []
      for (const image of left) {
        signal.throwIfAborted()
        const reason = await this.#removeFree(image, left, holderOf, signal)
        if (reason === undefined) removed.push(image)
        else kept.push({ image, reason })
      }
    }
    return { removed, kept }
  }

  /** The registry's own content is its own business; the staging folder is ours. */
  async collect(held: HeldContent, { signal, dryRun = false }: CollectOptions): Promise<undefined> {
    const { staging, stagingCollector, now } = this.#options
    if (dryRun) return
    await dropStaleIngests(staging, held, { now: now(), dryRun })
    await stagingCollector.collect({ held, signal })
  }

  named(holds: readonly Hold[], now: number): void {
    this.#options.uses.record(
      holds.flatMap(({ repository, digest }) =>
        digest !== null && isDigest(digest) ? [{ repository, digest, usedAt: now }] : [],
      ),
    )
  }

  /** The repository's tags, or nothing where it is gone or holds too many to be sure of. */
  async #tagsOf(repository: string, signal: AbortSignal): Promise<Map<string, Digest> | undefined> {
    const { registry, logger } = this.#options
    const names: string[] = []
    try {
      for await (const tag of registry.listTags(repository, signal)) {
        if (names.push(tag) <= maxTags) continue
        logger.warn({ repository }, `the path has more than ${maxTags} tags: it is not cleaned`)
        return undefined
      }
    } catch (error) {
      if (['NAME_UNKNOWN', 'MANIFEST_UNKNOWN'].includes(toImageError(error).code)) return new Map()
      throw error
    }
    const found = new Map<string, Digest>()
    const left = names.values()
    const work = async () => {
      for (const tag of left) {
        const digest = await this.#digestOf(repository, tag, signal)
        if (digest !== undefined) found.set(tag, digest)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    return found
  }

  async #digestOf(repository: string, tag: string, signal: AbortSignal): Promise<Digest | undefined> {
    try {
      return (await this.#options.registry.resolve(repository, tag, signal)).digest
    } catch (error) {
      if (toImageError(error).code === 'MANIFEST_UNKNOWN') return undefined
      throw error
    }
  }

  /** Why it stays, or nothing when it has gone; `images` are those that go, too. */
  async #removeFree(
    image: LocalImage,
    images: readonly LocalImage[],
    holderOf: (image: LocalImage) => string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const holder = holderOf(image)
    if (holder !== undefined) return `${holder} wants it`
    const siblings = images.filter(other => other.repository === image.repository && other.digest === image.digest)
    const isWanted = siblings.some(other => holderOf(other) !== undefined)
    const going = isWanted ? [image] : siblings
    return await this.#removeOne(image, new Set(going.map(({ tag }) => tag)), signal)
  }

  /** Why it stays, or nothing when it has gone. `going` are the tags on the same content that go with it. */
  async #removeOne(image: LocalImage, going: ReadonlySet<string>, signal: AbortSignal): Promise<string | undefined> {
    const { registry } = this.#options
    const { repository, tag, digest } = image
    const found = await this.#digestOf(repository, tag, signal)
    if (found === undefined) return undefined // with another tag on the same manifest
    if (found !== digest) return 'it was changed meanwhile'
    try {
      await registry.deleteTag(repository, tag, signal)
      return undefined
    } catch (cause) {
      const error = toImageError(cause)
      if (error.transient) throw error
      if (error.code !== 'UNSUPPORTED') return `${registry.host} refuses: ${error.message}`
    }
    return await this.#removeManifest(image, going, signal)
  }

  /** Some registries remove a tag only with its manifest: allowed where no other tag that stays is on it. */
  async #removeManifest(
    image: LocalImage,
    going: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { registry } = this.#options
    const { repository, digest } = image
    const found = await this.#tagsOf(repository, signal)
    if (found === undefined) return 'its path has too many tags to know which of them need its manifest'
    const staying = [...found].filter(([name]) => !going.has(name))
    const needing = await this.#needing(repository, digest, staying, signal)
    if (needing.length > 0) {
      const verb = needing.length === 1 ? 'needs' : 'need'
      return `${registry.host} removes a tag only with its manifest, and ${needing.join(', ')} ${verb} that`
    }
    try {
      await registry.deleteManifest(repository, digest, signal)
      return undefined
    } catch (cause) {
      const error = toImageError(cause)
      if (error.transient) throw error
      return `${registry.host} does not allow removal (${error.message}): remove ${nameOf(image)} there`
    }
  }

  /** The tags that are on the manifest, or on an index that lists it. */
  async #needing(
    repository: string,
    digest: Digest,
    tags: readonly (readonly [tag: string, on: Digest])[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const { registry } = this.#options
    const needs = new Map<Digest, boolean>([[digest, true]])
    for (const [, on] of tags) {
      if (needs.has(on)) continue
      const { bytes, descriptor } = await registry.fetchManifest(repository, on, signal)
      const children = isIndexType(descriptor.mediaType) ? childrenOf(parseManifest(bytes, descriptor.mediaType)) : []
      needs.set(
        on,
        children.some(child => child.digest === digest),
      )
    }
    return tags.filter(([, on]) => needs.get(on) === true).map(([tag]) => tag)
  }
}
