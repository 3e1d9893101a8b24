/**
 * What an image without an index is for stands in its config alone. It is looked at as soon as it is here, while the layers still come, so
 * that an image for other machines costs as little as can be. OCI image-spec, config.md. Used by transfer.ts.
 */
import { Type } from 'typebox'
import type { Descriptor } from '../oci/descriptor.ts'
import { ImageError } from '../oci/errors.ts'
import { parseManifest } from '../oci/manifest.ts'
import { formatPlatform, type Platform, platformMatches } from '../oci/platform.ts'
import { formatReference } from '../oci/reference.ts'
import { Shape } from '../oci/shape.ts'
import type { ResolvedImage } from './engine.ts'
import type { LocalReader, LocalRegistry } from './local.ts'

const configTypes = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json']
const shape = new Shape(
  Type.Object({
    os: Type.String({ minLength: 1 }),
    architecture: Type.String({ minLength: 1 }),
    variant: Type.Optional(Type.String()),
  }),
)

/** The config of an image that is meant for one kind of machine; nothing for an index, an artifact, and where every platform is wanted. */
export async function findImageConfig(
  image: ResolvedImage,
  local: LocalRegistry,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  if (image.request.platforms === 'all') return undefined
  const raw = await local.findManifest(image.request.target.repository, image.root.digest, signal)
  const manifest = raw && parseManifest(raw.bytes, image.root.mediaType)
  const config = manifest?.kind === 'image' ? manifest.config : undefined
  return config && configTypes.includes(config.mediaType) ? config : undefined
}

/**
 * Compares what the image is for with what is wanted. Gives a note where the edge merely can't run it.
 * @throws ImageError `PLATFORM_UNAVAILABLE` where the plan asks for the platform.
 */
export async function checkImageConfig(
  image: ResolvedImage,
  config: Descriptor,
  local: Pick<LocalReader, 'readBlob'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { platforms, anyPlatform, source, target } = image.request
  const offered = readPlatform(await local.readBlob(target.repository, config, signal))
  if (offered === undefined || platforms === 'all') return undefined
  if (platforms.some(wanted => platformMatches(wanted, offered))) return undefined
  const wanted = platforms.map(formatPlatform).join(', ')
  if (anyPlatform) return `it is for ${formatPlatform(offered)}; this site runs ${wanted}`
  const message = `${formatReference(source)} is not offered for ${wanted}; it is for ${formatPlatform(offered)} alone`
  throw new ImageError('PLATFORM_UNAVAILABLE', message, {
    side: 'upstream',
    doing: `resolve ${formatReference(source)}`,
  })
}

/** What the config says; nothing where it says nothing that can be understood: then nodes are left to find out. */
function readPlatform(bytes: Uint8Array | undefined): Platform | undefined {
  if (!bytes) return undefined
  try {
    const config: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return shape.check(config) && config.os !== 'unknown' ? config : undefined
  } catch {
    return undefined
  }
}
