/** The tags of one path in the local registry as versions: listed in their order, compared by what they are made of. Used by repositories.ts. */
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { parseManifest } from '../oci/manifest.ts'
import type { LocalReader, LocalRegistry } from '../transfer/local.ts'
import { compareTags } from './tag-pattern.ts'

export interface ImageVersion {
  readonly tag: string
  readonly digest: string
  /** Bytes of what is named by its manifests that are here. */
  readonly size: number
  /** When the tag came to point there, ISO 8601; absent where the registry does not tell. */
  readonly updatedAt?: string
}

export interface LayerFacts {
  readonly digest: string
  /** Bytes. */
  readonly size: number
}

export interface VersionDifference {
  readonly onlyInA: readonly LayerFacts[]
  readonly onlyInB: readonly LayerFacts[]
  readonly shared: readonly LayerFacts[]
  /** Bytes of each list. */
  readonly bytes: { readonly onlyInA: number; readonly onlyInB: number; readonly shared: number }
}

export interface VersionOptions {
  readonly local: LocalRegistry & LocalReader
  readonly repository: string
  readonly signal: AbortSignal
}

/** Tags of one path that are listed. */
const maxVersions = 1000
const maxDepth = 4
/** cosign's and others' tags beside an image: `sha256-….sig`. */
const referrerTag = /^sha(?:256|512)-[0-9a-f]{64,128}(?:\.[a-z]+)?$/

/** The newest first. */
export async function listVersions({ local, repository, signal }: VersionOptions): Promise<readonly ImageVersion[]> {
  const tags = (await local.listTags(repository, maxVersions, signal)).filter(({ tag }) => !referrerTag.test(tag))
  const sorted = tags.toSorted((a, b) => compareTags({ tag: a.tag, at: a.updatedAt }, { tag: b.tag, at: b.updatedAt }))
  const versions: ImageVersion[] = []
  for (const { tag, digest, updatedAt } of sorted) {
    const { blobs, manifestBytes } = await contentOf(digest, { local, repository, signal })
    const size = manifestBytes + sumOf([...blobs.values()])
    const at = updatedAt === undefined ? {} : { updatedAt: new Date(updatedAt).toISOString() }
    versions.push({ tag, digest, size, ...at })
  }
  return versions
}

/** What differs between two versions. */
export async function compareVersionsOf(a: Digest, b: Digest, options: VersionOptions): Promise<VersionDifference> {
  const [left, right] = [(await contentOf(a, options)).blobs, (await contentOf(b, options)).blobs]
  const onlyInA = [...left.values()].filter(({ digest }) => !right.has(digest))
  const onlyInB = [...right.values()].filter(({ digest }) => !left.has(digest))
  const shared = [...left.values()].filter(({ digest }) => right.has(digest))
  return {
    onlyInA,
    onlyInB,
    shared,
    bytes: { onlyInA: sumOf(onlyInA), onlyInB: sumOf(onlyInB), shared: sumOf(shared) },
  }
}

/** The digest of a version that is named by its tag or digest; undefined where the path has none such. */
export async function findVersion(
  version: string,
  { local, repository, signal }: VersionOptions,
): Promise<Digest | undefined> {
  if (!isDigest(version)) return await local.findTag(repository, version, signal)
  const manifest = await local.findManifest(repository, version, signal)
  // A manifest of another path is not a version of this one.
  const isHere = manifest !== undefined && (await local.confirm(repository, manifest.descriptor, 'manifest', signal))
  return isHere ? version : undefined
}

/** The configs and layers of an image, all of its platforms that are here. */
async function contentOf(root: Digest, options: VersionOptions) {
  const blobs = new Map<string, LayerFacts>()
  let manifestBytes = 0
  const walk = async (digest: Digest, depth: number): Promise<void> => {
    const raw = await options.local.findManifest(options.repository, digest, options.signal)
    if (raw === undefined || depth > maxDepth) return
    manifestBytes += raw.bytes.byteLength
    const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType)
    if (manifest.kind === 'index') for (const child of manifest.manifests) await walk(child.digest, depth + 1)
    else for (const blob of [...(manifest.config ? [manifest.config] : []), ...manifest.layers]) keep(blob)
  }
  const keep = ({ digest, size }: Descriptor) => blobs.set(digest, { digest, size })
  await walk(root, 0)
  return { blobs, manifestBytes }
}

function sumOf(layers: readonly LayerFacts[]): number {
  return layers.reduce((sum, { size }) => sum + size, 0)
}
