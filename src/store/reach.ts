/** What is reached from some manifests of a repository: the lists' manifests, and whatever refers to any of them. Pure; used by collection and by cleanup. */
import type { Digest } from '../oci/digest.ts'
import type { RepositoryGraph } from '../state/collection.ts'

/** Walks through the repository's own manifests. */
export class Reach {
  readonly #graph: RepositoryGraph
  /** Manifests by what they refer to. */
  readonly #referrers = new Map<Digest, Digest[]>()

  constructor(graph: RepositoryGraph) {
    this.#graph = graph
    for (const { digest, subject } of graph.manifests.values()) {
      if (subject === undefined) continue
      const known = this.#referrers.get(subject)
      if (known) known.push(digest)
      else this.#referrers.set(subject, [digest])
    }
  }

  /** The manifests that are reached: the roots that are here, what they list, and what refers to those (signatures, SBOMs). */
  from(roots: Iterable<Digest>): Set<Digest> {
    const reached = new Set<Digest>()
    const ahead = [...roots]
    for (let digest = ahead.pop(); digest !== undefined; digest = ahead.pop()) {
      const manifest = this.#graph.manifests.get(digest)
      if (manifest === undefined || reached.has(digest)) continue
      reached.add(digest)
      ahead.push(...manifest.children, ...(this.#referrers.get(digest) ?? []))
    }
    return reached
  }
}
