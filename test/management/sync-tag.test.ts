import t from 'tap'
import { bringTag } from '../../src/management/sync-tag.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { FetchOptions, ImageRequest, ResolvedImage } from '../../src/transfer/engine.ts'
import { FakeEngine } from '../fixtures/fake-engine.ts'

const blob = { mediaType: 'application/octet-stream', digest: digestOf(Buffer.from('layer')), size: 3000 }

/** An engine whose one blob comes as the test tells. */
class CutEngine extends FakeEngine {
  readonly #arrive: (options: FetchOptions) => void

  constructor(arrive: (options: FetchOptions) => void) {
    super()
    this.#arrive = arrive
    this.offer('registry.example/mecm/app:1', { content: 'one', blobs: [] })
  }

  override async missing() {
    return [blob]
  }

  override async fetch(image: ResolvedImage, options: FetchOptions): Promise<ResolvedImage> {
    this.#arrive(options)
    return await super.fetch(image, { signal: options.signal, priority: options.priority })
  }
}

const request: ImageRequest = {
  source: { registry: 'registry.example', repository: 'mecm/app', tag: '1' },
  target: { repository: 'mecm/app', tag: '1' },
  mirrors: [],
  platforms: [{ os: 'linux', architecture: 'amd64' }],
  referrers: false,
}

t.test('a blob that is cut counts once on the way, and its bytes as often as they crossed the link', async t => {
  const told: number[] = []
  let moved = 0
  const engine = new CutEngine(({ progress }) => {
    progress?.resumed?.(600, blob) // left by an earlier run
    progress?.received?.('registry.example', 900, blob)
    progress?.resumed?.(1500, blob) // after a cut
    progress?.received?.('registry.example', 1500, blob)
    progress?.resumed?.(0, blob) // it was not its digest: all of it again
    progress?.received?.('registry.example', 3000, blob)
    progress?.completed?.(blob)
  })
  await bringTag(
    request,
    { engine, local: { findTag: async () => undefined } },
    {
      signal: new AbortController().signal,
      progress: part => told.push(part),
      moved: bytes => {
        moved += bytes
      },
    },
  )
  t.same(told, [0.2, 0.5, 0.5, 1, 0, 1, 1])
  t.equal(moved, 900 + 1500 + 3000)
})

t.test('a blob that another transfer brings is progress, and no bytes of this one', async t => {
  const told: number[] = []
  let moved = 0
  const engine = new CutEngine(({ progress }) => progress?.completed?.(blob))
  await bringTag(
    request,
    { engine, local: { findTag: async () => undefined } },
    {
      signal: new AbortController().signal,
      progress: part => told.push(part),
      moved: bytes => {
        moved += bytes
      },
    },
  )
  t.same(told, [1])
  t.equal(moved, 0)
})
