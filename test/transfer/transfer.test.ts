import t from 'tap'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import {
  everyKind,
  image,
  multiPlatform,
  schema1,
  withAttestations,
  withCosignTag,
  withReferrers,
} from '../fixtures/images.ts'
import { bring, offer, openSite, type SiteOptions, wish } from '../fixtures/site.ts'

async function start(t: Parameters<typeof openSite>[0], options: SiteOptions = {}) {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const site = await openSite(t, { upstreams: [upstream], ...options })
  return { upstream, site }
}

const fetches = { kind: 'blob', method: 'GET' } as const

t.test('every kind of image comes across byte for byte, with everything that it needs', async t => {
  for (const [kind, sample] of Object.entries(everyKind())) {
    const { upstream, site } = await start(t)
    offer(upstream, 'mecm/app', '1', sample)
    const brought = await bring(site, wish(`${upstream.host}/mecm/app:1`))
    t.equal(brought.root.digest, sample.root.descriptor.digest, `${kind}: the digest is the same`)
    t.equal(brought.fetched.length, brought.manifests.length, `${kind}: no manifest was here before`)
    for (const { descriptor, bytes } of sample.manifests) {
      const here = await site.store.readManifest(descriptor.digest)
      t.same(here && Buffer.from(here.bytes), Buffer.from(bytes), `${kind}: a manifest is the same, byte for byte`)
      t.equal(
        site.store.findManifest('mecm/app', descriptor.digest)?.mediaType,
        descriptor.mediaType,
        `${kind}: and its type`,
      )
    }
    for (const [digest, bytes] of sample.blobs) {
      t.equal(site.store.blobSize('mecm/app', digest), bytes.byteLength, `${kind}: a blob is here`)
    }
    for (const [tag, { digest }] of sample.tags)
      t.equal(site.store.findTag('mecm/app', tag)?.descriptor.digest, digest, `${kind}: the tag ${tag}`)
    const asked = [...sample.blobs.values()].filter(blob => blob.byteLength > 0).length
    t.equal(upstream.count(fetches), asked, `${kind}: each blob is asked for once, an empty one not at all`)
  }
})

t.test('what is here is not fetched again', async t => {
  const { upstream, site } = await start(t)
  const sample = withReferrers(multiPlatform(['linux/amd64', 'linux/arm64']))
  const { digest } = sample.root.descriptor
  offer(upstream, 'mecm/app', '1', sample)
  await bring(site, wish(`${upstream.host}/mecm/app:1`))

  upstream.clearLog()
  await bring(site, wish(`${upstream.host}/mecm/app:1`))
  t.same(
    upstream.requests.map(({ method, kind }) => [method, kind]),
    [['HEAD', 'manifest']],
    'a tag costs one HEAD',
  )

  upstream.clearLog()
  await bring(site, wish(`${upstream.host}/mecm/app:1@${digest}`))
  await bring(site, wish(`${upstream.host}/mecm/app@${digest}`, { target: { repository: 'elsewhere', tag: 'x' } }))
  t.same(upstream.requests, [], 'a pinned digest costs nothing, under whatever name')
  t.equal(site.store.findTag('elsewhere', 'x')?.descriptor.digest, digest)

  upstream.clearLog()
  offer(upstream, 'mecm/app', '2', image({ seed: 'next', layers: [2000] }))
  await bring(site, wish(`${upstream.host}/mecm/app:2`))
  t.equal(upstream.count(fetches), 2, 'of another image, what is new')

  upstream.clearLog()
  await bring(site, wish(`${upstream.host}/mecm/app:2`, { target: { repository: 'elsewhere', tag: 'y' } }))
  t.same(
    upstream.requests.map(({ method, kind }) => [method, kind]),
    [['HEAD', 'manifest']],
    'nor under another name: a tag costs one HEAD',
  )
})

t.test('a second version brings only its new layer, from whichever repository the others came', async t => {
  const { upstream, site } = await start(t)
  const base = [
    { seed: 'a', bytes: 5000 },
    { seed: 'b', bytes: 4000 },
  ]
  offer(upstream, 'mecm/one', '1', image({ seed: 'one', layers: base }))
  offer(upstream, 'mecm/two', '2', image({ seed: 'two', layers: [...base, { seed: 'c', bytes: 700 }] }))
  await bring(site, wish(`${upstream.host}/mecm/one:1`))
  upstream.clearLog()
  await bring(site, wish(`${upstream.host}/mecm/two:2`))
  t.equal(upstream.count(fetches), 2, 'its config and one layer')
})

t.test('a tag that moved is noticed', async t => {
  const { upstream, site } = await start(t)
  offer(upstream, 'mecm/app', 'latest', image({ seed: 'old' }))
  const old = await bring(site, wish(`${upstream.host}/mecm/app:latest`))
  offer(upstream, 'mecm/app', 'latest', image({ seed: 'new' }))
  const now = await bring(site, wish(`${upstream.host}/mecm/app:latest`))
  t.not(now.root.digest, old.root.digest)
  t.equal(site.store.findTag('mecm/app', 'latest')?.descriptor.digest, now.root.digest)
})

t.test('two images that want one blob at the same moment fetch it once', async t => {
  const { upstream, site } = await start(t)
  const shared = { seed: 'shared', bytes: 50_000 }
  offer(upstream, 'mecm/one', '1', image({ seed: 'one', layers: [shared] }))
  offer(upstream, 'mecm/two', '1', image({ seed: 'two', layers: [shared] }))
  await Promise.all(['one', 'two'].map(name => bring(site, wish(`${upstream.host}/mecm/${name}:1`))))
  t.equal(upstream.count(fetches), 3, 'two configs and the one layer')
})

t.test('only the wanted platforms move; the index stays as it is', async t => {
  const { upstream, site } = await start(t)
  const sample = withAttestations(['linux/amd64', 'linux/arm64'])
  offer(upstream, 'mecm/app', '1', sample)
  const brought = await bring(site, wish(`${upstream.host}/mecm/app:1`, { platforms: ['linux/arm64'] }))
  t.equal(brought.manifests.length, 3, 'the index, one image, and its attestation')
  t.equal(brought.root.digest, sample.root.descriptor.digest)
  await t.rejects(bring(site, wish(`${upstream.host}/mecm/app:1`, { platforms: ['linux/s390x'] })), {
    code: 'PLATFORM_UNAVAILABLE',
    message: /offered for linux\/amd64, linux\/arm64/,
  })
  const either = { platforms: ['linux/s390x', 'linux/amd64'], anyPlatform: true }
  const partly = await bring(site, wish(`${upstream.host}/mecm/app:1`, either))
  t.match(partly.notes, [/not offered for linux\/s390x/])
})

t.test('an image without an index tells in its config what it is for', async t => {
  const { upstream, site } = await start(t)
  offer(upstream, 'mecm/app', '1', image({ platform: 'linux/amd64', layers: [400_000] }))
  const elsewhere = { platforms: ['linux/arm64'] }
  await t.rejects(bring(site, wish(`${upstream.host}/mecm/app:1`, elsewhere)), {
    code: 'PLATFORM_UNAVAILABLE',
    message: /is not offered for linux\/arm64; it is for linux\/amd64 alone/,
  })
  t.equal(site.store.findTag('mecm/app', '1'), undefined)
  const kept = await bring(site, wish(`${upstream.host}/mecm/app:1`, { ...elsewhere, anyPlatform: true }))
  t.match(
    kept.notes,
    [/it is for linux\/amd64; this site runs linux\/arm64/],
    'the edge’s own platforms are no wish of the plan',
  )
  const right = await bring(site, wish(`${upstream.host}/mecm/app:1`, { platforms: ['linux/amd64'] }))
  t.same(right.notes, [])
})

t.test('referrers come by the API, by the tag schema and by cosign’s tags, or stay away when not wanted', async t => {
  for (const referrersApi of [true, false]) {
    const upstream = await FakeRegistry.start({ referrersApi })
    t.teardown(() => upstream.stop())
    const site = await openSite(t, { upstreams: [upstream] })
    const sample = withCosignTag(withReferrers(image()))
    offer(upstream, 'mecm/app', '1', sample)
    if (!referrersApi) offerTagSchema(upstream, sample.root.descriptor.digest)
    const brought = await bring(site, wish(`${upstream.host}/mecm/app:1`))
    t.equal(site.store.referrers('mecm/app', brought.root.digest).length, 2, `API: ${referrersApi}`)
    t.equal(brought.extraTags.length, 1)
    const bare = await openSite(t, { upstreams: [upstream] })
    upstream.clearLog()
    const alone = await bring(bare, wish(`${upstream.host}/mecm/app:1`, { referrers: false }))
    t.equal(alone.manifests.length, 1)
    t.equal(upstream.count({ kind: 'referrers' }), 0)
  }
})

/** The index that stands in for the API where a registry lacks it. OCI distribution-spec, "Referrers Tag Schema". */
function offerTagSchema(upstream: FakeRegistry, digest: string): void {
  const manifests = upstream.content.referrersOf(
    'mecm/app',
    digest as Parameters<typeof upstream.content.referrersOf>[1],
  )
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  upstream.putManifest(
    'mecm/app',
    { schemaVersion: 2, mediaType, manifests },
    { tag: digest.replace(':', '-'), mediaType },
  )
}

t.test('a mirror serves what the source can not', async t => {
  const { upstream, site: _ } = await start(t)
  const mirror = await FakeRegistry.start()
  t.teardown(() => mirror.stop())
  const site = await openSite(t, { upstreams: [upstream, mirror] })
  const sample = image({ seed: 'mirrored' })
  offer(upstream, 'mecm/app', '1', sample)
  offer(mirror, 'copies/app', '1', sample)
  upstream.fault({ kind: 'blob' }, { do: 'status', status: 503 }, Number.POSITIVE_INFINITY)
  const mirrors = [{ registry: mirror.host, repository: 'copies/app' }]
  await bring(site, wish(`${upstream.host}/mecm/app:1`, { mirrors }))
  t.equal(mirror.count(fetches), sample.blobs.size)
})

t.test('a source that sends a wrong manifest is told of, though another one has the right one', async t => {
  const [upstream, mirror] = [await FakeRegistry.start(), await FakeRegistry.start()]
  t.teardown(() => Promise.all([upstream.stop(), mirror.stop()]))
  const sample = image()
  for (const registry of [upstream, mirror]) offer(registry, 'mecm/app', '1', sample)
  upstream.fault({ kind: 'manifest', method: 'GET' }, { do: 'corrupt' })
  const site = await openSite(t, { upstreams: [upstream, mirror] })
  const mirrors = [{ registry: mirror.host, repository: 'mecm/app' }]
  const { notes } = await bring(site, wish(`${upstream.host}/mecm/app:1`, { mirrors }))
  const [note, ...others] = notes.filter(each => each.startsWith(upstream.host))
  t.match(note, /sent a wrong manifest: .*; other sources are preferred until 20/)
  t.same(others, [])
})

t.test('what can not be had is told by code, and nothing of it is visible', async t => {
  const cases: [string, (upstream: FakeRegistry) => void, string][] = [
    ['no such repository', () => undefined, 'NAME_UNKNOWN'],
    ['no such tag', upstream => offer(upstream, 'mecm/app', '2', image()), 'MANIFEST_UNKNOWN'],
    ['schema 1', upstream => offer(upstream, 'mecm/app', '1', schema1()), 'UNSUPPORTED'],
    [
      'a blob is gone',
      upstream => {
        const sample = image()
        offer(upstream, 'mecm/app', '1', { ...sample, blobs: new Map([...sample.blobs].slice(1)) })
      },
      'BLOB_UNKNOWN',
    ],
    [
      'a blob is other content',
      upstream => {
        offer(upstream, 'mecm/app', '1', image())
        upstream.fault(fetches, { do: 'corrupt' }, Number.POSITIVE_INFINITY)
      },
      'DIGEST_MISMATCH',
    ],
    [
      'a blob is longer',
      upstream => {
        offer(upstream, 'mecm/app', '1', image())
        upstream.fault(fetches, { do: 'resize', by: 100 }, Number.POSITIVE_INFINITY)
      },
      'SIZE_MISMATCH',
    ],
    [
      'a blob never ends',
      upstream => {
        offer(upstream, 'mecm/app', '1', image())
        upstream.fault(fetches, { do: 'endless' }, Number.POSITIVE_INFINITY)
      },
      'SIZE_MISMATCH',
    ],
    [
      'a login page',
      upstream => {
        offer(upstream, 'mecm/app', '1', image())
        upstream.fault(
          { kind: 'manifest', method: 'GET' },
          { do: 'body', body: '<html>Login</html>' },
          Number.POSITIVE_INFINITY,
        )
      },
      'DIGEST_MISMATCH',
    ],
    [
      'denied',
      upstream =>
        upstream.fault({ kind: 'manifest' }, { do: 'status', status: 403, code: 'DENIED' }, Number.POSITIVE_INFINITY),
      'DENIED',
    ],
    [
      'redirect loop',
      upstream => {
        offer(upstream, 'mecm/app', '1', image())
        upstream.fault(fetches, { do: 'redirect', to: '/v2/mecm/app/blobs/loop' }, Number.POSITIVE_INFINITY)
      },
      'REDIRECT',
    ],
  ]
  for (const [name, spoil, code] of cases) {
    const { upstream, site } = await start(t)
    spoil(upstream)
    await t.rejects(bring(site, wish(`${upstream.host}/mecm/app:1`)), { code, side: 'upstream' }, name)
    t.same(
      site.store.catalog(undefined, 10).flatMap(repository => site.store.tags(repository, undefined, 10)),
      [],
      `${name}: no tag`,
    )
    t.ok(upstream.requests.length < 30, `${name}: a bounded number of requests, ${upstream.requests.length}`)
  }
})

t.test('a cut connection costs what was in flight, not what has arrived', async t => {
  const { upstream, site } = await start(t)
  const layer = upstream.putGeneratedBlob('mecm/app', 3_000_000)
  upstream.putImage('mecm/app', '1', [layer])
  const one = { kind: 'blob', reference: layer.digest } as const
  for (const afterBytes of [700_000, 900_000, 1]) upstream.fault(one, { do: 'cut', afterBytes })
  await bring(site, wish(`${upstream.host}/mecm/app:1`))
  const ranges = upstream.find(one).map(request => request.headers.range)
  t.equal(ranges.length, 4)
  t.ok(
    ranges.slice(1).every(range => range !== undefined),
    'each goes on with a Range',
  )
  t.ok(upstream.bytesSent(one) < 3_000_000 + 3 * 70_000, `${upstream.bytesSent(one)} bytes sent`)
})
