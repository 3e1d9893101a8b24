/** A change to the tags of a registry, as the store and the engine pass it on. */
import type { Descriptor } from './descriptor.ts'

/** One of a set of tag changes that happen together: the tag points at new content, or goes. */
export type TagChange = TagSet | { readonly do: 'remove'; readonly repository: string; readonly tag: string }

export interface TagSet {
  readonly do: 'set'
  readonly repository: string
  readonly tag: string
  readonly descriptor: Descriptor
  /** Where the content came from, for people: a reference, or `push`. */
  readonly source: string
}
