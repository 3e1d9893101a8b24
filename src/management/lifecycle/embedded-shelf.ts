/** The embedded store as cleanup sees it: exact to the byte, since every blob and who needs it is known. */
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { type Digest, isDigest } from '../../oci/digest.ts'
import type { RepositoryGraph } from '../../state/collection.ts'
import type { CollectReport, HeldContent } from '../../store/collect.ts'
import { Reach } from '../../store/reach.ts'
import type { Store } from '../../store/store.ts'
import { Footprint } from './footprint.ts'
import { type CollectOptions, type Hold, type LocalImage, nameOf, type Removal, type Shelf } from './shelf.ts'
import { dropStaleIngests } from './stale-ingests.ts'

/** Repositories that are looked through before others get their turn. */
const batchSize = 32

export class EmbeddedShelf implements Shelf {
  readonly kind = 'embedded'
  readonly limits = []
  readonly #store: Pick<Store, 'upkeep' | 'content'>
  readonly #now: () => number

  constructor(store: Pick<Store, 'upkeep' | 'content'>, now: () => number) {
    this.#store = store
    this.#now = now
  }

  async images(): Promise<readonly LocalImage[]> {
    return this.#store.upkeep.taggedImages()
  }

  async footprint(signal: AbortSignal): Promise<Footprint> {
    const { upkeep } = this.#store
    const footprint = new Footprint()
    for (const [at, repository] of upkeep.repositories().entries()) {
      if (at % batchSize === 0) await yieldToOthers(undefined, { signal })
      addRepository(footprint, repository, upkeep.graph(repository), upkeep.linkSizes(repository))
    }
    return footprint
  }

  /** Asks and removes in one moment: nothing comes between. */
  async remove(images: readonly LocalImage[], holderOf: (image: LocalImage) => string | undefined): Promise<Removal> {
    const asked = images.map(image => ({ image, holder: holderOf(image) }))
    const free = asked.filter(({ holder }) => holder === undefined).map(({ image }) => image)
    const removed = this.#store.upkeep.removeTags(free)
    const gone = new Set(removed)
    const kept = asked
      .filter(({ image }) => !gone.has(image))
      .map(({ image, holder }) => ({
        image,
        reason: holder === undefined ? 'it was changed meanwhile' : `${holder} wants it`,
      }))
    return { removed, kept }
  }

  async collect(held: HeldContent, options: CollectOptions): Promise<CollectReport> {
    const { content, upkeep } = this.#store
    const dropped = await dropStaleIngests(content, held, { now: this.#now(), dryRun: options.dryRun === true })
    const report = await upkeep.collect({ held, ...options })
    return { ...report, bytes: report.bytes + dropped }
  }

  named(holds: readonly Hold[], now: number): void {
    const uses = holds.flatMap(({ repository, tag, digest }) => {
      const named = digest !== null && isDigest(digest) ? digest : undefined
      const found = named ?? (tag === null ? undefined : this.#store.upkeep.digestOf(repository, tag))
      return found === undefined || !this.#store.upkeep.isReferenced(found)
        ? []
        : [{ repository, digest: found, usedAt: now }]
    })
    this.#store.upkeep.useRows.record(uses)
  }
}

/** Each tag's content; and what stays in the repository without a tag, so that what it shares is not counted as freed. */
function addRepository(
  footprint: Footprint,
  repository: string,
  graph: RepositoryGraph,
  links: ReadonlyMap<Digest, number>,
): void {
  const reach = new Reach(graph)
  for (const [tag, digest] of graph.tags) {
    footprint.add(nameOf({ repository, tag }), contentsOf(reach.from([digest]), graph, links))
  }
  const tagged = reach.from(graph.tags.values())
  const untagged = [...graph.manifests.values()].filter(manifest => !tagged.has(manifest.digest) && manifest.putAt > 0)
  if (untagged.length === 0) return
  const rest = reach.from(untagged.map(manifest => manifest.digest))
  footprint.add(`${repository}@`, contentsOf(rest, graph, links))
}

function contentsOf(
  manifests: ReadonlySet<Digest>,
  graph: RepositoryGraph,
  links: ReadonlyMap<Digest, number>,
): Map<Digest, number> {
  const contents = new Map<Digest, number>()
  for (const digest of manifests) {
    const manifest = graph.manifests.get(digest)
    if (manifest === undefined) continue
    contents.set(digest, manifest.size)
    for (const blob of [...manifest.blobs, ...manifest.children]) {
      const size = links.get(blob)
      if (size !== undefined) contents.set(blob, size)
    }
  }
  return contents
}
