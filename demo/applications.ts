/** What the demo's upstream registry holds: three small applications, and the next version of one of them. */
import type { Descriptor } from '../src/oci/descriptor.ts'
import type { Digest } from '../src/oci/digest.ts'
import { type ImageManifest, parseManifest } from '../src/oci/manifest.ts'
import { formatPlatform } from '../src/oci/platform.ts'
import { image, multiPlatform, type Sample } from '../test/fixtures/images.ts'
import type { LayerOptions } from '../test/fixtures/layers.ts'

export interface Application {
  /** `shop/web`. */
  readonly repository: string
  readonly tag: string
  readonly sample: Sample
}

/** What the demo's edge runs. */
export const sitePlatform = 'linux/amd64'

const MB = 1_000_000
const base: LayerOptions = { seed: 'base-system', bytes: 8 * MB }
const webLayers: readonly LayerOptions[] = [
  base,
  { seed: 'web-runtime', bytes: 5 * MB },
  { seed: 'web', bytes: 2 * MB },
]

/** web and till stand on the same base layer; scanner is built for three platforms. */
export function makeApplications(): {
  web: Application
  till: Application
  scanner: Application
  nextWeb: Application
} {
  const till = [base, { seed: 'till-runtime', bytes: 4 * MB }, { seed: 'till', bytes: 1 * MB }]
  return {
    web: { repository: 'shop/web', tag: '2.0.0', sample: image({ seed: 'web-2.0', layers: webLayers }) },
    till: { repository: 'shop/till', tag: '1.4.0', sample: image({ seed: 'till-1.4', layers: till }) },
    scanner: {
      repository: 'shop/scanner',
      tag: '3.1.0',
      sample: multiPlatform([sitePlatform, 'linux/arm64', 'linux/arm/v7'], {
        seed: 'scanner-3.1',
        layers: [3 * MB, 2 * MB],
      }),
    },
    nextWeb: {
      repository: 'shop/web',
      tag: '2.1.0',
      sample: image({ seed: 'web-2.1', layers: [...webLayers, { seed: 'web-new', bytes: 1.2 * MB }] }),
    },
  }
}

/** The blobs that the site's platform needs of some applications, each once: config and layers of the images that run there. */
export function blobsFor(applications: readonly Application[]): ReadonlyMap<Digest, Descriptor> {
  const blobs = applications.flatMap(({ sample }) =>
    imagesOf(sample).flatMap(manifest => (manifest.config ? [manifest.config, ...manifest.layers] : manifest.layers)),
  )
  return new Map(blobs.map(blob => [blob.digest, blob]))
}

/** The manifests of a sample's images for the site's platform: one of an index, or the only one. */
function imagesOf(sample: Sample): readonly ImageManifest[] {
  const root = parseManifest(sample.root.bytes)
  if (root.kind === 'image') return [root]
  const chosen = root.manifests.filter(child => child.platform && formatPlatform(child.platform) === sitePlatform)
  return sample.manifests
    .filter(({ descriptor }) => chosen.some(child => child.digest === descriptor.digest))
    .map(({ bytes }) => parseManifest(bytes))
    .filter(manifest => manifest.kind === 'image')
}
