/**
 * A descriptor names content: what it is, its digest, its size. Bytes travel only together with theirs.
 * OCI image-spec, descriptor.md.
 */
import type { Digest } from './digest.ts'
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
