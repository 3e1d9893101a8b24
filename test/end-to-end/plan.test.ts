/** The whole way of a plan with the real agent: every kind of image arrives byte for byte, and what is there is not fetched again. */
import t from 'tap'
import { request } from 'undici'
import { planOf, putSample, startEdgeSite } from '../fixtures/edge-site.ts'
import { everyKind, image, multiPlatform } from '../fixtures/images.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { readBlob, readManifest } from '../fixtures/read-back.ts'

t.test('every kind of image comes across, byte for byte', async t => {
  const { upstream, mecm, agent } = await startEdgeSite(t)
  const kinds = Object.entries(everyKind()).map(([kind, sample], at) => ({ kind, sample, repository: `kind/${at}` }))
  for (const { repository, sample } of kinds) putSample(upstream, repository, '1', sample)
  const images = kinds.map(({ repository }) => ({ source: `${upstream.host}/${repository}:1`, platforms: ['all'] }))
  const status = await mecm.run(planOf('kinds', 1, images))
  t.match(status, { phase: 'Ready', status: 'Distributed', reason: null })
  for (const { kind, repository, sample } of kinds) {
    for (const { descriptor, bytes } of sample.manifests) {
      t.same(Buffer.from(await readManifest(agent.registry, repository, descriptor.digest)), Buffer.from(bytes), kind)
    }
    for (const [digest, blob] of sample.blobs) t.equal(await readBlob(agent.registry, repository, digest), blob.length)
    const head = await request(`http://${agent.registry}/v2/${repository}/manifests/1`, { method: 'HEAD' })
    await head.body.dump()
    t.equal(head.headers['content-type'], sample.root.descriptor.mediaType, kind)
    t.equal(head.headers['docker-content-digest'], sample.root.descriptor.digest, kind)
  }
})

t.test('of an index, the site takes what its nodes run, and keeps the index as it is', async t => {
  const { upstream, mecm, agent } = await startEdgeSite(t)
  const sample = multiPlatform(['linux/amd64', 'linux/arm64'])
  putSample(upstream, 'mecm/web', '1', sample)
  const status = await mecm.run(planOf('web', 1, [{ source: `${upstream.host}/mecm/web:1` }]))
  t.equal(status.phase, 'Ready')
  const [amd64, arm64] = sample.manifests
  if (!amd64 || !arm64) throw new Error('no children')
  await readManifest(agent.registry, 'mecm/web', sample.root.descriptor.digest)
  await readManifest(agent.registry, 'mecm/web', amd64.descriptor.digest)
  await t.rejects(readManifest(agent.registry, 'mecm/web', arm64.descriptor.digest), /status 404/)
  t.equal(upstream.count({ kind: 'manifest', reference: arm64.descriptor.digest }), 0)
})

t.test('what is there costs nothing: no request for a digest, one HEAD for a tag', async t => {
  const { upstream, mecm } = await startEdgeSite(t)
  const sample = image()
  putSample(upstream, 'mecm/web', '1', sample)
  const source = `${upstream.host}/mecm/web:1`
  t.equal((await mecm.run(planOf('web', 1, [{ source }]))).phase, 'Ready')

  upstream.clearLog()
  const pinned = { source, digest: sample.root.descriptor.digest }
  t.match(await mecm.run(planOf('web', 2, [pinned])), { phase: 'Ready', quote: { bytesMissing: 0 } })
  t.match(await mecm.run(planOf('other', 1, [{ ...pinned, target: 'another/name:7' }])), { phase: 'Ready' })
  t.same(requestsOf(upstream), [])

  t.match(await mecm.run(planOf('web', 3, [{ source }])), { phase: 'Ready', bytes: { fetched: 0 } })
  t.same(requestsOf(upstream), ['HEAD manifest 1'])
})

t.test('two plans that want one blob at the same moment fetch it once', async t => {
  const { upstream, mecm } = await startEdgeSite(t)
  const shared = upstream.putBlob('one', seededBytes('shared', 300_000))
  upstream.putBlob('two', seededBytes('shared', 300_000))
  upstream.putImage('one', '1', [shared, seededBytes('one', 1000)])
  upstream.putImage('two', '1', [shared, seededBytes('two', 1000)])
  upstream.fault({ kind: 'blob', reference: shared.digest }, { do: 'slow', bytesPerSecond: 600_000 })
  const statuses = await Promise.all(
    ['one', 'two'].map(name => mecm.run(planOf(name, 1, [{ source: `${upstream.host}/${name}:1` }]))),
  )
  t.same(
    statuses.map(status => status.phase),
    ['Ready', 'Ready'],
  )
  t.equal(upstream.count({ kind: 'blob', reference: shared.digest }), 1)
})

function requestsOf(upstream: { requests: readonly { method: string; kind: string; reference: string }[] }): string[] {
  return upstream.requests.map(({ method, kind, reference }) => `${method} ${kind} ${reference}`)
}
