/**
 * A descriptor names content: what it is, its digest, its size. Bytes travel only together with theirs.
 * OCI image-spec, descriptor.md.
 */
import { type Static, Type } from 'typebox'
import { type Digest, parseDigest } from './digest.ts'
import type { Platform } from './platform.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly platform?: Platform
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

export const AnnotationsShape = Type.Record(Type.String(), Type.String())

/** A descriptor as it stands in documents from outside; fields that we have no use for may be there, too. */
export const DescriptorShape = Type.Object({
  mediaType: Type.String({ minLength: 1, maxLength: 255 }),
  digest: Type.String({ maxLength: 255 }),
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  artifactType: Type.Optional(Type.String({ maxLength: 255 })),
  annotations: Type.Optional(Type.Union([AnnotationsShape, Type.Null()])),
  platform: Type.Optional(
    Type.Object({ os: Type.String(), architecture: Type.String(), variant: Type.Optional(Type.String()) }),
  ),
})

/** A document's descriptor as ours. @throws ImageError `DIGEST_INVALID`, `UNSUPPORTED`. */
export function toDescriptor(value: Static<typeof DescriptorShape>): Descriptor {
  return {
    mediaType: value.mediaType,
    digest: parseDigest(value.digest),
    size: value.size,
    ...(value.platform ? { platform: value.platform satisfies Platform } : {}),
    ...(value.artifactType === undefined ? {} : { artifactType: value.artifactType }),
    ...(value.annotations ? { annotations: value.annotations } : {}),
  }
}
