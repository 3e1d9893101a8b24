/** The rate in real time, over real connections: with bounds that a busy machine keeps. */
import t, { type Test } from 'tap'
import { LinkEmulator } from '../../../bench/link-emulator.ts'
import { Link } from '../../../src/transfer/link/link.ts'
import { FakeRegistry } from '../../fixtures/fake-registry.ts'
import { seededBytes } from '../../fixtures/layers.ts'
import { bring, openSite, wish } from '../../fixtures/site.ts'
import { silent } from '../../fixtures/state-folder.ts'

async function startUpstream(t: Test): Promise<FakeRegistry> {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  return upstream
}

t.test('four transfers at once share one rate, by what crosses the wire', async t => {
  const upstream = await startUpstream(t)
  const wire = new LinkEmulator({ port: upstream.port, roundTripMs: 20 })
  await wire.start()
  t.teardown(() => wire.stop())
  const layers = [1, 2, 3, 4].map(at => seededBytes(`layer ${at}`, 500_000))
  upstream.putImage('web', '1', layers)
  const rate = 1_000_000
  const link = new Link({ logger: silent, maxRate: rate })
  const site = await openSite(t, { hosts: [{ host: wire.host, plainHttp: true }], link })
  const from = performance.now()
  await bring(site, wish(`${wire.host}/web:1`, { referrers: false }))
  const seconds = (performance.now() - from) / 1000
  const share = wire.counts.bytesToClients / seconds / rate
  t.ok(share > 0.5 && share < 1.1, `${share} of the rate in ${seconds} s`)
  t.equal(upstream.count({ kind: 'blob', method: 'GET' }), 5, 'a request each')
})

t.test('our own slowness is no stall', async t => {
  const upstream = await startUpstream(t)
  upstream.putImage('web', '1', [seededBytes('layer', 600_000)])
  // After its first bytes, the reader pauses for longer than a source may be silent.
  const link = new Link({ logger: silent, maxRate: 200_000 })
  const site = await openSite(t, { upstreams: [upstream], link, stallTimeoutMs: 300 })
  const seen: string[] = []
  const progress = { retried: (_blob: unknown, error: Error) => void seen.push(error.message) }
  await bring(site, wish(`${upstream.host}/web:1`, { referrers: false }), progress)
  t.same(seen, [])
  t.equal(upstream.count({ kind: 'blob', method: 'GET' }), 2)
})

t.test('a source that really stalls is left, rate or no rate', async t => {
  const upstream = await startUpstream(t)
  const { layers } = upstream.putImage('web', '1', [seededBytes('layer', 300_000)])
  upstream.fault({ kind: 'blob', reference: layers[0]?.digest ?? '' }, { do: 'stall', afterBytes: 100_000 })
  const link = new Link({ logger: silent, maxRate: 1_000_000 })
  const site = await openSite(t, { upstreams: [upstream], link, stallTimeoutMs: 300 })
  const codes: unknown[] = []
  const progress = { retried: (_blob: unknown, error: Error) => void codes.push('code' in error ? error.code : error) }
  await bring(site, wish(`${upstream.host}/web:1`, { referrers: false }), progress)
  t.same(codes, ['STALLED'])
})

t.test("a plan's own rate holds within the site's, over all of its blobs", async t => {
  const upstream = await startUpstream(t)
  const layers = [1, 2, 3].map(at => seededBytes(`layer ${at}`, 200_000))
  upstream.putImage('slow', '1', layers)
  upstream.putImage('fast', '1', [seededBytes('another', 200_000)])
  const link = new Link({ logger: silent, maxRate: 5_000_000 })
  const site = await openSite(t, { upstreams: [upstream], link })
  const { signal } = new AbortController()
  const fetch = async (name: string, limits: { maxRate?: number }) => {
    const image = await site.transfer.resolve(wish(`${upstream.host}/${name}:1`, { referrers: false }), signal)
    const from = performance.now()
    await site.transfer.fetch(image, { signal, priority: 50, limits })
    return performance.now() - from
  }
  const [slow, fast] = await Promise.all([fetch('slow', { maxRate: 400_000 }), fetch('fast', {})])
  t.ok(slow > 1_300, `600 kB at 400 kB a second in ${slow} ms`)
  t.ok(fast < slow, `the other is not slowed down: ${fast} ms`)
})
