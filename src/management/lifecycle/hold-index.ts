/** Who holds an image: the holds of plans and Repositories, to be asked for one image after another. */
import { type Digest, isDigest } from '../../oci/digest.ts'
import type { Hold } from './shelf.ts'

export class HoldIndex {
  readonly #byTag = new Map<string, string>()
  readonly #byDigest = new Map<string, string>()

  constructor(holds: Iterable<Hold>) {
    for (const { holder, repository, tag, digest } of holds) {
      if (tag !== null) this.#byTag.set(`${repository}:${tag}`, holder)
      // Held by digest alone, or by a tag that has moved since: a tag on that content may be the only one that leads to it.
      if (digest !== null) this.#byDigest.set(`${repository}@${digest}`, holder)
    }
  }

  /** One of those that want the image. */
  holderOf(image: { readonly repository: string; readonly tag: string; readonly digest: Digest }): string | undefined {
    const { repository, tag, digest } = image
    return this.#byTag.get(`${repository}:${tag}`) ?? this.#byDigest.get(`${repository}@${digest}`)
  }
}

/** The manifests that are held, by repository. */
export function heldManifests(holds: Iterable<Hold>): Map<string, Set<Digest>> {
  const held = new Map<string, Set<Digest>>()
  for (const { repository, digest } of holds) {
    if (digest === null || !isDigest(digest)) continue
    const known = held.get(repository)
    if (known) known.add(digest)
    else held.set(repository, new Set([digest]))
  }
  return held
}
