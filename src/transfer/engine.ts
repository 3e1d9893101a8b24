/**
 * What an image goes through: resolve, fetch, publish, confirm. The steps that a run of a plan, and `pull`, are made of.
 * This file holds the nouns of that; the steps are in the files of the same names.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import type { PlatformFilter } from '../oci/platform.ts'
import type { Reference, RepositoryReference, Target } from '../oci/reference.ts'
import type { Link } from './link/link.ts'
import type { Obstacle } from './link/obstacle.ts'
import type { LinkUse, PlanLimits } from './link/pass.ts'
import type { Upstream } from './sources.ts'
import type { Urgency } from './urgency.ts'

/** One image as it is asked for. */
export interface ImageRequest {
  readonly source: Reference
  readonly target: Target
  /** How registries are reached for this image alone, in place of the engine's own: with an image source's credentials. */
  readonly registries?: { get(host: string): Upstream }
  /** Other places that hold the same content. */
  readonly mirrors: readonly RepositoryReference[]
  readonly platforms: PlatformFilter
  /** True when the platforms are the edge's own, not the plan's wish: then one of them is enough, and those not offered become a note. */
  readonly anyPlatform?: boolean
  /** Whether signatures, SBOMs and other referrers come along. */
  readonly referrers: boolean
}

/** One image as the upstream has it now: everything that has to be in the local registry. */
export interface ResolvedImage {
  readonly request: ImageRequest
  readonly root: Descriptor
  /** Every manifest to put, children before parents, subjects before their referrers. Their bytes are kept on the local side. */
  readonly manifests: readonly Descriptor[]
  /** Every blob that the manifests need, each once. */
  readonly blobs: readonly Descriptor[]
  /** The manifests among `manifests` that were not here and had to be fetched to know all this. */
  readonly fetched: readonly Descriptor[]
  /** Tags beside the target's that belong to the image: cosign's `sha256-….sig`. */
  readonly extraTags: readonly { readonly tag: string; readonly descriptor: Descriptor }[]
  /** Bytes of `manifests` and `blobs` together. */
  readonly bytesTotal: number
  /** What an operator should know: layers that may not be copied, children left out. */
  readonly notes: readonly string[]
}

/** What a fetch tells while it goes on. All numbers are bytes. */
export interface FetchProgress {
  /** Bytes of `blob` that came from `host` over the wire. */
  received(host: string, bytes: number, blob: Descriptor): void
  /** A try begins with so many bytes of `blob` on disk: what earlier tries have left, this fetch's own among them; 0 after a mismatch. */
  resumed(bytes: number, blob: Descriptor): void
  /** A blob is complete on the local side, whoever brought it. */
  completed(blob: Descriptor): void
  /** A try failed and another follows. */
  retried(blob: Descriptor, error: Error): void
}

/** Its urgency says whose transfers go first where they wait for their turn. */
export interface FetchOptions extends Urgency {
  readonly signal: AbortSignal
  /** What the plan says about the link, for all that it fetches. */
  readonly limits?: PlanLimits
  readonly progress?: Partial<FetchProgress>
}

/** The steps, in their order. Every one may be repeated: what is there already costs nothing. */
export interface TransferEngine {
  /** Asks upstream what the reference is now, and gathers its manifests. Costs no request for a pinned digest that is complete here, one HEAD for a tag. */
  resolve(request: ImageRequest, signal: AbortSignal): Promise<ResolvedImage>
  /** The blobs of the image whose content the local side lacks. */
  missing(image: ResolvedImage, signal: AbortSignal): Promise<readonly Descriptor[]>
  /** Bytes of the blob that an interrupted transfer left on the local side: they need neither the link nor room on the disk again. */
  arrived(blob: Descriptor): number
  /**
   * Fetches what is missing, places every blob in the target's repository and puts the manifests, by digest only.
   * Gives the image as it was put: an external registry that refuses an index without its other platforms changes what that is.
   * @throws LinkClosed when the link closes meanwhile: what has arrived is kept, and a later call goes on from there.
   */
  fetch(image: ResolvedImage, options: FetchOptions): Promise<ResolvedImage>
  /** Moves the tags of all the images, and removes `remove`, together. Gives notes for the operator: a tag that the registry can't remove, say. */
  publish(images: readonly ResolvedImage[], remove: readonly Target[], signal: AbortSignal): Promise<readonly string[]>
  /** Asks the local registry for every manifest and blob of the image. @throws ImageError `LOCAL_REGISTRY` naming what is missing. */
  confirm(image: ResolvedImage, signal: AbortSignal): Promise<void>
  /** What keeps the image's content from crossing the link now, from wherever it can be had. */
  obstacle(request: ImageRequest, use: LinkUse): Obstacle | undefined
  /** Whether the image can't be had because nothing comes over the link: no host that has its content gave a sign of life, nor did any other of late. */
  isCutOff(request: ImageRequest): boolean
  /** The hosts that the image's content can be had from, the plan's own first. */
  hostsOf(request: ImageRequest): readonly string[]
  /** The link itself: what to expect of it, and when it opens. */
  readonly link: Pick<Link, 'whenClear' | 'estimate' | 'capacity' | 'explain'>
  /** Bytes that the local side can still take beside the reserve, or undefined where that can't be known. */
  freeBytes(): Promise<number | undefined>
}
