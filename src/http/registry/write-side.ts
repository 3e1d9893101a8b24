/**
 * What the registry's write side needs: content that can be changed, and who must be asked before something goes. The store has this
 * shape. Built by the composition root, used by uploads.ts, put-manifest.ts and deletions.ts.
 */
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RawManifest } from '../../oci/manifest.ts'
import type { TagChange } from '../../oci/tag-change.ts'
import type { Uploads } from '../../store/uploads.ts'
import type { RegistryAction } from './authorize.ts'
import type { RegistryContent } from './content.ts'

export interface WritableContent extends RegistryContent {
  readonly uploads: Pick<Uploads, 'create' | 'find' | 'append' | 'finish' | 'cancel'>
  /** Some of the repositories that show the blob. */
  repositoriesWith(blob: Digest, limit: number): readonly string[]
  /** Shows a blob that is here in a repository. @throws ImageError when it isn't. */
  shareBlob(repository: string, blob: Pick<Descriptor, 'digest' | 'size'>): void
  /** A client is about to be told that the repository has the blob, and will rely on it when it pushes the manifest. */
  keepForPush(repository: string, blob: Digest): void
  /** What a manifest needs and the repository lacks. @throws ImageError when it is no manifest. */
  missingBlobs(repository: string, manifest: RawManifest): readonly Descriptor[]
  putManifest(repository: string, manifest: RawManifest): Promise<void>
  changeTags(changes: readonly TagChange[]): Promise<void>
  tagsOn(repository: string, digest: Digest): readonly string[]
  /** The indexes that lead to the manifest. */
  manifestsAbove(repository: string, digest: Digest): readonly Digest[]
  /** A manifest that needs the blob. */
  manifestWith(repository: string, blob: Digest): Digest | undefined
  removeManifest(repository: string, digest: Digest): boolean
  unlinkBlob(repository: string, digest: Digest): boolean
}

/** A tag or a manifest of a repository. */
export type ManifestReference = { readonly tag: string } | { readonly digest: Digest }

/**
 * Names the holder of an image (`plan web-2.1.0`, `Repository default/nginx`) that must stay as it is, or answers undefined. Asked
 * before a tag goes or moves to other content, and before a manifest goes: for itself, its tags, and the indexes that list it.
 */
export type Protects = (repository: string, reference: ManifestReference) => string | undefined

/** Something that a client has changed; what was only refused is not told. */
export interface RegistryWrite {
  readonly action: Exclude<RegistryAction, 'pull'>
  /** Who did it, as {@link Authorize} named them. */
  readonly caller: string | undefined
  /** The address that the request came from. */
  readonly from: string
  readonly repository: string
  readonly object: 'tag' | 'manifest' | 'blob'
  /** The tag or digest. */
  readonly reference: string
}

export interface WriteSide {
  readonly content: WritableContent
  /** Without it nothing is held. */
  readonly protects?: Protects
  /** Told of every change once it is made, for audit and logs. Blobs that are pushed are not told: their manifest is. */
  readonly wrote?: (write: RegistryWrite) => void
}
