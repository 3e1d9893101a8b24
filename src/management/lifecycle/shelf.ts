/**
 * The local registry as cleanup sees it: which images it holds, what each takes, and how they go. One seam with two sides, the embedded
 * store and an external registry. Implemented by embedded-shelf.ts and external-shelf.ts.
 */
import type { Digest } from '../../oci/digest.ts'
import type { CollectOptions as AllOptions, CollectReport, HeldContent } from '../../store/collect.ts'
import type { Footprint } from './footprint.ts'

/** A tagged image. Times are epoch milliseconds. */
export interface LocalImage {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
  /** When the tag came to point there. */
  readonly updatedAt: number
  /** When it was last pulled, or named by a plan or Repository; not before `updatedAt`. */
  readonly usedAt: number
}

/** Content that somebody wants, and who. Without a digest, whatever the tag points at; without a tag, the content. */
export interface Hold {
  readonly holder: string
  readonly repository: string
  readonly tag: string | null
  readonly digest: string | null
}

export interface Removal {
  readonly removed: readonly LocalImage[]
  /** Those that stayed, and why. */
  readonly kept: readonly { readonly image: LocalImage; readonly reason: string }[]
}

export type CollectOptions = Pick<AllOptions, 'signal' | 'dryRun'>

export interface Shelf {
  readonly kind: 'embedded' | 'external'
  images(signal: AbortSignal): Promise<readonly LocalImage[]>
  /** What each image takes, with what it shares; undefined where the registry doesn't tell. */
  footprint(signal: AbortSignal): Promise<Footprint | undefined>
  /** Takes tags away. Asks `holderOf` again in the moment in which they go: a plan may have come meanwhile. */
  remove(
    images: readonly LocalImage[],
    holderOf: (image: LocalImage) => string | undefined,
    signal: AbortSignal,
  ): Promise<Removal>
  /** Takes away what nothing leads to any more, or in a dry run tells it; undefined where that is the registry's own business. */
  collect(held: HeldContent, options: CollectOptions): Promise<CollectReport | undefined>
  /** Writes down that images are named by plans or Repositories now. */
  named(holds: readonly Hold[], now: number): void
  /** What can't be done with this registry, in plain words. */
  readonly limits: readonly string[]
}

/** `repository:tag` */
export function nameOf(image: { readonly repository: string; readonly tag: string }): string {
  return `${image.repository}:${image.tag}`
}
