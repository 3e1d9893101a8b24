/**
 * Manifests: parsing what a registry calls one, without ever changing its bytes.
 * OCI image-spec, manifest.md and image-index.md; Docker image manifest v2, schema 2.
 */
import { type Static, Type } from 'typebox'
import { AnnotationsShape, type Descriptor, DescriptorShape, toDescriptor } from './descriptor.ts'
import { digestOf } from './digest.ts'
import { ImageError } from './errors.ts'
import { isIndexType, isManifestType, isSchema1, mediaTypes } from './media-types.ts'
import { Shape } from './shape.ts'

/** Manifests beyond this many bytes are refused, as registries do. */
export const maxManifestBytes = 4 * 1024 * 1024

/** A manifest as it was sent: these bytes are what is hashed, stored and put. */
export interface RawManifest {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

interface ManifestFacts {
  readonly mediaType: string
  /** The manifest that this one refers to (a signature's image). */
  readonly subject?: Descriptor
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** An image or any other artifact: its config and layers, in order. */
export interface ImageManifest extends ManifestFacts {
  readonly kind: 'image'
  readonly config?: Descriptor
  readonly layers: readonly Descriptor[]
}

/** A list of manifests, which may be lists again. */
export interface IndexManifest extends ManifestFacts {
  readonly kind: 'index'
  readonly manifests: readonly Descriptor[]
}

export type Manifest = ImageManifest | IndexManifest

const ManifestShape = Type.Object({
  schemaVersion: Type.Optional(Type.Integer()),
  mediaType: Type.Optional(Type.String({ maxLength: 255 })),
  artifactType: Type.Optional(Type.String({ maxLength: 255 })),
  config: Type.Optional(DescriptorShape),
  layers: Type.Optional(Type.Union([Type.Array(DescriptorShape), Type.Null()])),
  blobs: Type.Optional(Type.Union([Type.Array(DescriptorShape), Type.Null()])),
  manifests: Type.Optional(Type.Union([Type.Array(DescriptorShape), Type.Null()])),
  fsLayers: Type.Optional(Type.Unknown()),
  subject: Type.Optional(Type.Union([DescriptorShape, Type.Null()])),
  annotations: Type.Optional(Type.Union([AnnotationsShape, Type.Null()])),
})
const shape = new Shape(ManifestShape)

/**
 * Parses the bytes of a manifest. `contentType` is what the server or the pointing descriptor called it; the document's own
 * `mediaType` must agree.
 * @throws ImageError `MANIFEST_INVALID` when it isn't one, `UNSUPPORTED` for Docker schema 1 and unknown kinds.
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  const document = readDocument(bytes)
  const declared = bareType(contentType)
  if (
    document.schemaVersion === 1 ||
    document.fsLayers !== undefined ||
    isSchema1(document.mediaType ?? declared ?? '')
  ) {
    throw new ImageError(
      'UNSUPPORTED',
      'Docker schema 1 manifests are not taken: their content can not be verified by digest',
    )
  }
  if (document.manifests && (document.layers || document.config)) {
    throw invalid('it is an image and an index at once (both "manifests" and "layers" or "config")')
  }
  const mediaType = chooseMediaType(document, declared)
  const facts = readFacts(document, mediaType)
  if (isIndexType(mediaType)) {
    if (!document.manifests) throw invalid('an index without "manifests"')
    return { kind: 'index', ...facts, manifests: document.manifests.map(toDescriptor) }
  }
  const layers = document.layers ?? document.blobs ?? []
  if (!document.config && mediaType !== mediaTypes.ociArtifact) throw invalid('an image manifest without "config"')
  return {
    kind: 'image',
    ...facts,
    ...(document.config ? { config: toDescriptor(document.config) } : {}),
    layers: layers.map(toDescriptor),
  }
}

/** Bytes and what they are called, as one; the digest is computed here unless one that was verified is given. */
export function rawManifest(bytes: Uint8Array, mediaType: string, digest = digestOf(bytes)): RawManifest {
  return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes }
}

/** What a manifest points at and needs to be complete: its manifests (an index), or its config and layers. Not its subject. */
export function childrenOf(manifest: Manifest): readonly Descriptor[] {
  if (manifest.kind === 'index') return manifest.manifests
  return manifest.config ? [manifest.config, ...manifest.layers] : manifest.layers
}

function readDocument(bytes: Uint8Array): Static<typeof ManifestShape> {
  if (bytes.byteLength > maxManifestBytes) throw invalid(`it is larger than ${maxManifestBytes} bytes`)
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    const start = new TextDecoder().decode(bytes.subarray(0, 40)).trimStart()
    throw invalid(
      start.startsWith('<') ? 'it is HTML, not JSON: is a web page or a login form in front?' : 'it is not JSON',
      error,
    )
  }
  if (shape.check(document)) return document
  const [first] = shape.errors(document)
  throw invalid(
    first ? `${first.instancePath || 'the document'} ${first.message}` : 'it does not have the form of a manifest',
  )
}

function chooseMediaType(document: Static<typeof ManifestShape>, declared: string | undefined): string {
  const own = document.mediaType
  if (own !== undefined && declared !== undefined && isManifestType(declared) && own !== declared) {
    throw invalid(`it says it is ${own}, but was sent as ${declared}`)
  }
  const mediaType = own ?? (declared !== undefined && isManifestType(declared) ? declared : guessMediaType(document))
  if (!isManifestType(mediaType)) throw new ImageError('UNSUPPORTED', `manifests of type "${mediaType}" are not known`)
  return mediaType
}

function guessMediaType(document: Static<typeof ManifestShape>): string {
  if (document.manifests) return mediaTypes.ociIndex
  if (document.config && document.layers) return mediaTypes.ociManifest
  throw invalid('it has neither "manifests" nor "config" and "layers"')
}

function readFacts(document: Static<typeof ManifestShape>, mediaType: string): ManifestFacts {
  return {
    mediaType,
    ...(document.subject ? { subject: toDescriptor(document.subject) } : {}),
    ...(document.artifactType === undefined ? {} : { artifactType: document.artifactType }),
    ...(document.annotations ? { annotations: document.annotations } : {}),
  }
}

function bareType(contentType: string | undefined): string | undefined {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() || undefined
}

function invalid(why: string, cause?: unknown): ImageError {
  return new ImageError('MANIFEST_INVALID', `not a valid manifest: ${why}`, { cause })
}
