/**
 * What the benchmark moves: images made from seeds, the same bytes every time, in OCI layouts on disk and from there in a
 * docker-registry, where skopeo puts them. Layers are archives that do not compress, as most of an image's bytes are.
 */
import { execFile } from 'node:child_process'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Descriptor } from '../src/oci/descriptor.ts'
import { type Digest, digestOf, hexOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-types.ts'
import { makeLayer } from '../test/fixtures/layers.ts'
import { findProgram } from '../test/fixtures/programs.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024

/** An image of the corpus as it lies upstream. */
export interface BenchImage {
  readonly repository: string
  readonly tag: string
  readonly digest: Digest
  /** Manifests and blobs with their sizes, each once. */
  readonly content: Readonly<Record<Digest, number>>
  /** Of `content`, what is fetched as a manifest. */
  readonly manifests: readonly Digest[]
}

/** Images by what they are for; see {@link makeCorpus}. */
export interface Corpus {
  readonly large: BenchImage
  readonly largeChanged: BenchImage
  readonly fleet: readonly BenchImage[]
  readonly index: BenchImage
  readonly single: BenchImage
  readonly small: BenchImage
}

/** Every size is divided by `scale`: 1 for the figures that count, 8 for a quick look. */
export interface CorpusOptions {
  readonly dir: string
  readonly scale: number
}

interface LayerPlan {
  readonly seed: string
  readonly bytes: number
}

/** Makes what is not in `dir` yet, in some seconds per GiB. */
export async function makeCorpus({ dir, scale }: CorpusOptions): Promise<Corpus> {
  const file = join(dir, 'corpus.json')
  const made = await readFile(file, 'utf8').catch(() => undefined)
  if (made !== undefined) return JSON.parse(made) // written below, by this very program
  const layout = new Layout(dir, scale)
  await layout.start()
  const layers = Array.from({ length: 8 }, (_, at) => ({ seed: `large-${at}`, bytes: 128 * MiB }))
  // The second version: one layer of 40 MiB in the last one's place.
  const changed = [...layers.slice(0, 7), { seed: 'large-changed', bytes: 40 * MiB }]
  const corpus: Corpus = {
    large: await layout.addImage('bench/large', '1', layers),
    largeChanged: await layout.addImage('bench/large', '2', changed),
    fleet: await makeFleet(layout),
    index: await layout.addIndex('bench/platforms', '1', ['amd64', 'arm64', 'arm', 'riscv64']),
    single: await layout.addImage('bench/single', '1', [{ seed: 'single', bytes: 300 * MiB }]),
    small: await layout.addImage('bench/small', '1', [{ seed: 'small', bytes: 30 * MiB }]),
  }
  await writeFile(file, JSON.stringify(corpus))
  return corpus
}

/**
 * 40 images of 13 layers: 4 bases, 8 runtimes on them, and each image's own ten layers, most of them small.
 * 4.9 GiB are referenced, 1.2 GiB are different.
 */
async function makeFleet(layout: Layout): Promise<BenchImage[]> {
  const images: BenchImage[] = []
  const part = (seed: string, sizes: readonly number[]): LayerPlan[] =>
    sizes.map((size, at) => ({ seed: `${seed}-${at}`, bytes: size * MiB }))
  for (let at = 0; at < 40; at++) {
    const layers = [
      ...part(`base-${at % 4}`, [60, 15, 5]),
      ...part(`runtime-${at % 8}`, [20, 6, 2]),
      ...part(`app-${at}`, [10, 4, 1, 1, 0.25, 0.125, 0.06, 0.03, 0.008, 0.004]),
    ]
    images.push(await layout.addImage(`fleet/app-${String(at).padStart(2, '0')}`, '1', layers))
  }
  return images
}

/** Puts all of it into a registry that keeps its content beside the corpus, unless it has it already. */
export async function pushCorpus(corpus: Corpus, dir: string, host: string): Promise<void> {
  const stamp = join(dir, 'pushed')
  if ((await readFile(stamp, 'utf8').catch(() => undefined)) !== undefined) return
  for (const image of imagesOf(corpus)) {
    await run(findProgram('skopeo') ?? 'skopeo', [
      ...['--insecure-policy', 'copy', '--quiet', '--all', '--preserve-digests', '--dest-tls-verify=false'],
      ...[`oci:${layoutOf(dir, image)}`, `docker://${host}/${image.repository}:${image.tag}`],
    ])
  }
  await writeFile(stamp, '')
}

function imagesOf(corpus: Corpus): BenchImage[] {
  const { large, largeChanged, fleet, index, single, small } = corpus
  return [large, largeChanged, ...fleet, index, single, small]
}

/** Each image has a layout of its own; they share one folder of blobs. */
function layoutOf(dir: string, { repository, tag }: Pick<BenchImage, 'repository' | 'tag'>): string {
  return join(dir, `${repository.replaceAll('/', '-')}-${tag}`)
}

class Layout {
  readonly #dir: string
  readonly #scale: number
  readonly #layers = new Map<string, { readonly descriptor: Descriptor; readonly diffId: Digest }>()

  constructor(dir: string, scale: number) {
    this.#dir = dir
    this.#scale = scale
  }

  async start(): Promise<void> {
    await mkdir(join(this.#dir, 'blobs/sha256'), { recursive: true })
  }

  async addImage(repository: string, tag: string, layers: readonly LayerPlan[]): Promise<BenchImage> {
    const content: Record<Digest, number> = {}
    const root = await this.#putImage(content, `${repository}:${tag}`, 'amd64', layers)
    return await this.#finish({ repository, tag, content, manifests: [root.digest] }, root)
  }

  /** An index of one image per architecture, each of four layers. */
  async addIndex(repository: string, tag: string, architectures: readonly string[]): Promise<BenchImage> {
    const content: Record<Digest, number> = {}
    const manifests: Descriptor[] = []
    for (const architecture of architectures) {
      const layers = [30, 10, 4, 1].map((size, at) => ({ seed: `${architecture}-${at}`, bytes: size * MiB }))
      const image = await this.#putImage(content, repository, architecture, layers)
      manifests.push({ ...image, platform: { os: 'linux', architecture } })
    }
    const root = await this.#put(content, mediaTypes.ociIndex, document(mediaTypes.ociIndex, { manifests }))
    const digests = [...manifests, root].map(manifest => manifest.digest)
    return await this.#finish({ repository, tag, content, manifests: digests }, root)
  }

  async #finish(image: Omit<BenchImage, 'digest'>, root: Descriptor): Promise<BenchImage> {
    const dir = layoutOf(this.#dir, image)
    await mkdir(dir, { recursive: true })
    await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    await writeFile(join(dir, 'index.json'), document(mediaTypes.ociIndex, { manifests: [root] }))
    await mkdir(join(dir, 'blobs/sha256'), { recursive: true })
    for (const digest of Object.keys(image.content)) {
      const name = digest.slice('sha256:'.length)
      const path = join(dir, 'blobs/sha256', name)
      await rm(path, { force: true })
      await link(join(this.#dir, 'blobs/sha256', name), path)
    }
    return { ...image, digest: root.digest }
  }

  async #putImage(
    content: Record<Digest, number>,
    name: string,
    architecture: string,
    plans: readonly LayerPlan[],
  ): Promise<Descriptor> {
    const layers = []
    for (const plan of plans) layers.push(await this.#putLayer(plan))
    for (const { descriptor } of layers) content[descriptor.digest] = descriptor.size
    const config = JSON.stringify({
      created: '2026-01-01T00:00:00Z',
      architecture,
      os: 'linux',
      config: { Labels: { name } },
      rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
    })
    const body = document(mediaTypes.ociManifest, {
      config: await this.#put(content, 'application/vnd.oci.image.config.v1+json', config),
      layers: layers.map(layer => layer.descriptor),
    })
    return await this.#put(content, mediaTypes.ociManifest, body)
  }

  async #putLayer({ seed, bytes }: LayerPlan) {
    const known = this.#layers.get(seed)
    if (known) return known
    const layer = makeLayer({ seed, bytes: Math.ceil(bytes / this.#scale) })
    const descriptor = await this.#put({}, 'application/vnd.oci.image.layer.v1.tar+gzip', layer.blob)
    const made = { descriptor, diffId: layer.diffId }
    this.#layers.set(seed, made)
    return made
  }

  async #put(content: Record<Digest, number>, mediaType: string, body: string | Buffer): Promise<Descriptor> {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const digest = digestOf(bytes)
    await writeFile(join(this.#dir, 'blobs/sha256', hexOf(digest)), bytes)
    content[digest] = bytes.byteLength
    return { mediaType, digest, size: bytes.byteLength }
  }
}

function document(mediaType: string, rest: object): string {
  return JSON.stringify({ schemaVersion: 2, mediaType, ...rest })
}
