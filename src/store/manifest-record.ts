/** What the database keeps of a manifest, taken from its bytes. Used by store.ts and rebuild.ts. */
import type { Descriptor } from '../oci/descriptor.ts'
import { childrenOf, type Manifest, parseManifest, type RawManifest } from '../oci/manifest.ts'
import { isNonDistributable } from '../oci/media-types.ts'
import type { ManifestRecord } from '../state/content.ts'

/** A manifest as a row, and the blobs that must be in the repository before it. */
export interface ReadManifest {
  readonly record: ManifestRecord
  readonly blobs: readonly Descriptor[]
  /** The manifests that an index lists, present or not. */
  readonly listed: readonly Descriptor[]
}

/**
 * Reads a manifest for a repository.
 * @throws ImageError `MANIFEST_INVALID`, `UNSUPPORTED`.
 */
export function readManifestRecord(repository: string, raw: RawManifest): ReadManifest {
  const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType)
  const children = childrenOf(manifest)
  // An index may be sparse: its manifests of other platforms stay away. Layers that may not be copied are not expected either.
  const blobs = manifest.kind === 'image' ? children.filter(child => !isNonDistributable(child.mediaType)) : []
  const unique = [...new Map(blobs.map(blob => [blob.digest, blob])).values()]
  const artifactType = artifactTypeOf(manifest)
  const { subject, annotations } = manifest
  const listed = manifest.kind === 'index' ? manifest.manifests : []
  return {
    blobs: unique,
    listed,
    record: {
      repository,
      descriptor: {
        mediaType: manifest.mediaType,
        digest: raw.descriptor.digest,
        size: raw.bytes.byteLength,
        ...(artifactType === undefined ? {} : { artifactType }),
        ...(annotations === undefined ? {} : { annotations }),
      },
      contentSize: unique.reduce((sum, blob) => sum + blob.size, raw.bytes.byteLength),
      subject: subject?.digest,
      children: listed.map(child => child.digest),
      // Those that may not be copied, too: where somebody pushed one, it is needed like the others.
      blobs: manifest.kind === 'image' ? [...new Set(children.map(child => child.digest))] : [],
    },
  }
}

/** OCI distribution-spec, "Listing Referrers": the manifest's own artifact type, else its config's media type. */
function artifactTypeOf(manifest: Manifest): string | undefined {
  if (manifest.artifactType) return manifest.artifactType
  return manifest.kind === 'image' ? manifest.config?.mediaType : undefined
}
