/** What clients of the registry may not move or delete, since somebody wants it as it is. Built by agent.ts. */
import type { Protects } from '../http/registry/write-side.ts'

/** An image that somebody wants; without a digest, whatever the tag points at. */
export interface WantedImage {
  /** For people: `plan web-2.1.0`. */
  readonly holder: string
  readonly tag: string | null
  readonly digest: string | null
}

/** Asks `wantedIn`, what is wanted in a repository, anew each time, since plans come and go. */
export function protectWanted(wantedIn: (repository: string) => readonly WantedImage[]): Protects {
  return (repository, reference) =>
    wantedIn(repository).find(image =>
      'tag' in reference ? image.tag === reference.tag : image.digest === reference.digest,
    )?.holder
}
