/** What collection looks up to know what plans and Repositories hold. Beside an external registry, what is staged: only that is ours to keep. Used by lifecycle.ts. */
import type { ContentLookup } from '../management/lifecycle/held-content.ts'
import type { Digest } from '../oci/digest.ts'
import { maxManifestBytes, parseManifest, type RawManifest, rawManifest } from '../oci/manifest.ts'
import type { ReferrerAnswers } from '../state/referrer-answers.ts'
import type { ContentStore } from '../store/content.ts'
import type { Store } from '../store/store.ts'

type LookupContent =
  | { readonly kind: 'embedded'; readonly store: Pick<Store, 'findManifest' | 'readManifest'> }
  | { readonly kind: 'external'; readonly staging: Pick<ContentStore, 'sizeNow' | 'readBytes'> }

export function lookupIn(content: LookupContent, answers: Pick<ReferrerAnswers, 'find'>): ContentLookup {
  const store = content.kind === 'embedded' ? content.store : undefined
  return {
    findManifest: (repository, digest) => store?.findManifest(repository, digest),
    readManifest: digest =>
      content.kind === 'embedded' ? content.store.readManifest(digest) : readStagedManifest(content.staging, digest),
    referrersOf: digest => {
      const found = answers.find(digest)
      if (found === undefined) return []
      return [...found.referrers, ...found.tags.map(tag => tag.descriptor)].map(each => each.digest)
    },
  }
}

async function readStagedManifest(
  staging: Pick<ContentStore, 'sizeNow' | 'readBytes'>,
  digest: Digest,
): Promise<RawManifest | undefined> {
  const size = staging.sizeNow(digest)
  if (size === undefined || size > maxManifestBytes) return undefined
  const bytes = await staging.readBytes(digest)
  if (bytes === undefined) return undefined
  try {
    return rawManifest(bytes, parseManifest(bytes).mediaType, digest)
  } catch {
    return undefined // a config or a small layer
  }
}
