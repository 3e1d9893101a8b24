/** The media types that decide how content is handled. OCI image-spec, media-types.md; Docker image manifest v2.2. */

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  emptyJson: 'application/vnd.oci.empty.v1+json',
} as const

/** What is sent as `Accept` when a manifest is asked for: everything we can keep byte for byte. */
export const manifestAccept = [
  mediaTypes.ociIndex,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  mediaTypes.ociArtifact,
].join(', ')

/** A manifest that lists manifests. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList
}

/** A manifest of any kind that we handle. */
export function isManifestType(mediaType: string): boolean {
  return (
    isIndexType(mediaType) ||
    mediaType === mediaTypes.ociManifest ||
    mediaType === mediaTypes.dockerManifest ||
    mediaType === mediaTypes.ociArtifact
  )
}

/** Docker schema 1, which is refused: its content can't be verified by digest. */
export function isSchema1(mediaType: string): boolean {
  return mediaType === mediaTypes.dockerSchema1 || mediaType === mediaTypes.dockerSchema1Signed
}

/** Layers that their publisher forbids to copy; they stay where their `urls` say. OCI image-spec, layer.md. */
export function isNonDistributable(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.') ||
    mediaType === 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' ||
    mediaType === 'application/vnd.docker.image.rootfs.foreign.diff.tar'
  )
}
