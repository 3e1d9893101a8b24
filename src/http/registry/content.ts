/** What the read side needs of the embedded registry's content. The store has this shape; nothing here knows more of it. */
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RawManifest } from '../../oci/manifest.ts'

/** A blob's file, open for reading. Whoever opened it closes it. */
export interface OpenBlob {
  /** Fills `buffer` from `position` on; answers how many bytes came, 0 at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>
  close(): Promise<void>
}

export interface RegistryContent {
  /** Repositories after `after`, in order. */
  catalog(after: string | undefined, limit: number): readonly string[]
  hasRepository(repository: string): boolean
  /** Tags after `after`, in order. */
  tags(repository: string, after: string | undefined, limit: number): readonly string[]
  findTag(repository: string, tag: string): { readonly descriptor: Descriptor } | undefined
  findManifest(repository: string, digest: Digest): Descriptor | undefined
  readManifest(digest: Digest): Promise<RawManifest | undefined>
  /** The manifests whose subject is `subject`, as the referrers API tells them. */
  referrers(repository: string, subject: Digest): readonly Descriptor[]
  blobSize(repository: string, digest: Digest): number | undefined
  readonly content: { openBlob(digest: Digest): Promise<OpenBlob | undefined> }
  /** Told who takes what, so that cleanup leaves alone what is in use. */
  readonly upkeep?: {
    /** A client was told that the blob is here: it may rely on that for a manifest that it is about to push. */
    told(digest: Digest): void
    readonly uses: {
      /** A reader takes a manifest. */
      pulled(repository: string, digest: Digest): void
      /** A reader asks for a manifest, and may take it next. */
      asked(repository: string, digest: Digest): void
    }
  }
}
