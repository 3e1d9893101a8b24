/** What people are told of an image that is here: platform, size, date, layers. Read from its own manifest and config in the local registry. */
import { Type } from 'typebox'
import type { Descriptor } from '../oci/descriptor.ts'
import { childrenOf, type ImageManifest, parseManifest } from '../oci/manifest.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import { Shape } from '../oci/shape.ts'
import type { LocalReader, LocalRegistry } from '../transfer/local.ts'
import type { ManifestSummary } from './repository-object.ts'

const ConfigShape = new Shape(
  Type.Object({
    architecture: Type.Optional(Type.String({ maxLength: 128 })),
    os: Type.Optional(Type.String({ maxLength: 128 })),
    created: Type.Optional(Type.String({ maxLength: 64 })),
  }),
)

/** An index may list indexes; nobody nests deeper. */
const maxDepth = 4

export interface SummaryOptions {
  readonly local: Pick<LocalRegistry, 'findManifest'> & Pick<LocalReader, 'readBlob'>
  readonly repository: string
  /** Of several platforms, the first of these that is here is told. */
  readonly platforms: readonly Platform[]
  readonly signal: AbortSignal
}

/** Undefined for content that holds no image: an index of nothing that is here. */
export async function summarize(root: Descriptor, options: SummaryOptions): Promise<ManifestSummary | undefined> {
  const image = await findImage(root, options, 0)
  if (image === undefined) return undefined
  const { platform, manifest } = image
  const config = manifest.config && (await readConfig(manifest.config, options))
  const created = Date.parse(config?.created ?? '')
  const bytes = childrenOf(manifest).reduce((sum, child) => sum + child.size, 0)
  return {
    architecture: config?.architecture ?? platform?.architecture ?? '',
    os: config?.os ?? platform?.os ?? '',
    size: formatSize(bytes),
    created: Number.isNaN(created) ? '' : new Date(created).toISOString(),
    layers: manifest.layers.map(({ digest, size }) => ({ digest, size })),
  }
}

/** Bytes for people, in thousands and three figures: `142MB`, `1.42GB`, `7.4kB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  const text = unit === 0 ? String(value) : String(Number(value.toPrecision(3)))
  return `${text}${units[unit] ?? ''}`
}

async function findImage(
  descriptor: Descriptor,
  options: SummaryOptions,
  depth: number,
): Promise<{ manifest: ImageManifest; platform: Platform | undefined } | undefined> {
  const raw = await options.local.findManifest(options.repository, descriptor.digest, options.signal)
  if (raw === undefined) return undefined
  const manifest = parseManifest(raw.bytes, raw.descriptor.mediaType)
  if (manifest.kind === 'image') return { manifest, platform: descriptor.platform }
  if (depth >= maxDepth) return undefined
  for (const child of byPreference(manifest.manifests, options.platforms)) {
    const found = await findImage(child, options, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

/** The wanted platforms first, in their order; attestations, which call themselves unknown, last. */
function byPreference(children: readonly Descriptor[], platforms: readonly Platform[]): readonly Descriptor[] {
  const wanted = platforms.map(formatPlatform)
  const rank = ({ platform }: Descriptor) => {
    if (platform?.os === 'unknown') return wanted.length + 1
    const at = platform === undefined ? -1 : wanted.findIndex(name => formatPlatform(platform).startsWith(name))
    return at < 0 ? wanted.length : at
  }
  return children.toSorted((a, b) => rank(a) - rank(b))
}

async function readConfig(config: Descriptor, { local, repository, signal }: SummaryOptions) {
  const bytes = await local.readBlob(repository, config, signal)
  if (bytes === undefined) return undefined
  try {
    const document: unknown = JSON.parse(Buffer.from(bytes).toString())
    return ConfigShape.check(document) ? document : undefined
  } catch {
    return undefined // an artifact's config need not be JSON
  }
}
