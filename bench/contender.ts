/** What takes part in a race: something that brings images from an upstream registry to a place where nodes can pull them. */
import type { BenchImage } from './corpus.ts'
import type { Usage } from './measure.ts'

export interface Contender {
  readonly name: string
  /** Where the images end up, for the table. */
  readonly into: string
  /** Why it can't take part on this machine, or nothing. */
  lacks(): string | undefined
  /** Gets everything ready, with nothing in place yet. */
  open(site: Site): Promise<Session>
}

/** What a session is given. */
export interface Site {
  /** An empty folder of its own. */
  readonly dir: string
  /** `127.0.0.1:port` of the upstream registry, or of the link before it. */
  readonly upstream: string
}

export interface Session {
  /** `127.0.0.1:port` where the images can be looked at afterwards; undefined when nothing serves them then. */
  readonly registry: string | undefined
  /** Resolves when all of them are in place, with what it cost: the contender's own processes and the target registry's. */
  bring(images: readonly Wanted[], signal: AbortSignal): Promise<Usage>
  /** SIGKILL to what {@link bring} runs; it then rejects. */
  kill(): Promise<void>
  close(): Promise<void>
}

export interface Wanted {
  readonly image: BenchImage
  /** By digest, or by tag. */
  readonly pinned: boolean
}
