/** A tag pointed at an earlier version of its path. Used by repositories.ts. */
import type { Digest } from '../oci/digest.ts'
import type { ImageRequest } from '../transfer/engine.ts'
import type { RepositorySpec } from './repository-object.ts'
import type { SyncParts } from './sync.ts'
import { bringTag } from './sync-tag.ts'
import { findVersion } from './versions.ts'

export interface RollBack {
  readonly spec: RepositorySpec
  readonly tag: string
  /** A tag or digest of the path in the local registry. */
  readonly version: string
}

/**
 * Gives the digest that the tag points at now, or undefined where there is no such version here. Nothing is asked of the source unless
 * something of the version was lost meanwhile.
 * @throws ImageError of the source or the local registry.
 */
export async function rollBack(
  { spec, tag, version }: RollBack,
  parts: Omit<SyncParts, 'sources'> & { readonly sources: Pick<SyncParts['sources'], 'open'> },
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const { local, sources, platforms } = parts
  const { repository } = spec
  const digest = await findVersion(version, { local, repository, signal })
  if (digest === undefined) return undefined
  const access = sources.open(spec.registryRef)
  const request: ImageRequest = {
    source: { registry: access.domain, repository: access.provider.sourcePath(repository), digest },
    target: { repository, tag },
    registries: access.upstreams,
    ...{ mirrors: [], platforms, anyPlatform: true, referrers: true },
  }
  const { root } = await bringTag(request, parts, { signal })
  return root.digest
}

/** Which tag is moved: its only one, or with a pattern the one that is named. */
export function tagToMove({ tag, tagPattern }: RepositorySpec, wanted: string | undefined): string | undefined {
  if (tagPattern === undefined) return wanted === undefined || wanted === tag ? tag : undefined
  return wanted
}
