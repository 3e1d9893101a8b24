/** What clients of the registry may not move or delete, since somebody wants it as it is. Built by agent.ts. */
import type { Protects } from '../http/registry/write-side.ts'

/** An image that somebody wants; without a digest, whatever the tag points at. */
export interface WantedImage {
  /** For people: `plan web-2.1.0`. */
  readonly holder: string
  readonly repository: string
  readonly tag: string | null
  readonly digest: string | null
}

/** Asks `wanted` anew each time, since plans come and go. */
export function protectWanted(wanted: () => Iterable<WantedImage>): Protects {
  return (repository, reference) => {
    for (const image of wanted()) {
      if (image.repository !== repository) continue
      const same = 'tag' in reference ? image.tag === reference.tag : image.digest === reference.digest
      if (same) return image.holder
    }
    return undefined
  }
}
