/** Whole transfers over a link that closes: what was fetched stays, what crossed is counted, and nothing crosses twice. */
import t, { type Test } from 'tap'
import { type TimeWindow, weekdays } from '../../../src/oci/time-window.ts'
import type { BudgetUse } from '../../../src/state/budget.ts'
import type { FetchOptions } from '../../../src/transfer/engine.ts'
import { Link, type LinkOptions } from '../../../src/transfer/link/link.ts'
import { LinkClosed } from '../../../src/transfer/link/obstacle.ts'
import { FakeRegistry } from '../../fixtures/fake-registry.ts'
import { seededBytes } from '../../fixtures/layers.ts'
import { bring, openSite, type Site, wish } from '../../fixtures/site.ts'
import { silent } from '../../fixtures/state-folder.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'

const size = 600_000
/** 01:00 to 05:00. */
const night: TimeWindow = { from: 60, to: 300, timezone: 'UTC', days: weekdays }

async function startSite(t: Test, options: Partial<LinkOptions>, at = '2026-11-21T02:00:00Z', diskReserve = 0) {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const clock = new VirtualClock(at)
  const link = new Link({ logger: silent, clock, ...options })
  link.start()
  const site = await openSite(t, { upstreams: [upstream], link, diskReserve })
  const { layers } = upstream.putImage('web', '1', [seededBytes('layer', size)])
  const layer = layers[0]?.digest
  if (layer === undefined) throw new Error('no layer')
  const request = wish(`${upstream.host}/web:1`, { referrers: false })
  return { upstream, clock, link, site, layer, request }
}

/** Fetches, and tells when so many bytes have come. */
async function fetching(site: Site, request: ReturnType<typeof wish>, bytes: number, more: Partial<FetchOptions> = {}) {
  const { signal } = new AbortController()
  const image = await site.transfer.resolve(request, signal)
  const reached = Promise.withResolvers<void>()
  let came = 0
  const progress = {
    received: (_host: string, count: number) => {
      came += count
      if (came >= bytes) reached.resolve()
    },
  }
  const done = site.transfer.fetch(image, { signal, priority: 50, progress, ...more }).catch((error: unknown) => error)
  return { reached: reached.promise, done }
}

function closed(t: Test, outcome: unknown): LinkClosed {
  if (outcome instanceof LinkClosed) return outcome
  t.fail('the transfer was not suspended', { outcome })
  throw new Error('not suspended')
}

/** Rows in memory, so that a second link finds what a first one wrote. */
function memoryRows() {
  const kept = new Map<string, BudgetUse>()
  return {
    find: (account: string) => kept.get(account),
    put: (account: string, use: BudgetUse) => void kept.set(account, use),
  }
}

function daily(bytes: number, rows = memoryRows()): Pick<LinkOptions, 'budget'> {
  return { budget: { limits: { bytes, per: 'day', timezone: 'UTC', groups: [] }, rows } }
}

t.test('a window that closes inside a blob suspends it there, and the next one goes on from that byte', async t => {
  const { upstream, clock, link, site, layer, request } = await startSite(t, { windows: [night] })
  upstream.fault({ kind: 'blob', reference: layer }, { do: 'stall', afterBytes: 250_000 })
  const first = await fetching(site, request, 250_000)
  await first.reached
  await clock.until('2026-11-21T05:00:00Z')
  const { obstacle, transient } = closed(t, await first.done)
  t.ok(transient)
  t.match(obstacle, { reason: 'Window', until: Date.parse('2026-11-22T01:00:00Z') })
  t.match(closed(t, await (await fetching(site, request, 0)).done).obstacle, { reason: 'Window' })
  t.equal(upstream.count({ kind: 'blob', reference: layer }), 1, 'nothing is asked for outside the window')

  await clock.until('2026-11-22T01:00:00Z')
  await bring(site, request)
  const [, second] = upstream.find({ kind: 'blob', reference: layer })
  t.equal(second?.headers.range, 'bytes=250000-')
  t.equal(upstream.bytesSent({ kind: 'blob', reference: layer }), size)
  t.ok(link.state.receivedBytes >= size)
  t.equal(clock.timers, 0, 'a link that nobody uses sets no timer')
})

t.test('what a kill left whole, but for its commit, is put in place outside the window', async t => {
  const { upstream, site, request } = await startSite(t, { windows: [night] }, '2026-11-21T12:00:00Z')
  const { signal } = new AbortController()
  const image = await site.transfer.resolve(request, signal)
  for (const blob of image.blobs) {
    const ingest = await site.local.openIngest(blob, { repository: 'web', signal, transfer: signal })
    const content = upstream.content.repository('web').blobs.get(blob.digest)
    await ingest.write(Buffer.from(content?.read(0, blob.size) ?? ''))
    await ingest.close()
    t.equal(site.transfer.arrived(blob), blob.size)
  }
  t.equal((await site.transfer.missing(image, signal)).length, image.blobs.length)
  await bring(site, request)
  t.equal(upstream.requests.filter(({ path }) => path.includes('/blobs/')).length, 0)
  t.ok(site.store.findTag('web', '1'))
})

t.test('a blob whose last byte uses the budget up is here', async t => {
  const budget = 100_000_000
  const { upstream, clock, link, site, layer, request } = await startSite(t, daily(budget))
  const { signal } = new AbortController()
  const image = await site.transfer.resolve(request, signal)
  let came = 0
  const received = (host: string, bytes: number, { digest }: { digest: string }) => {
    if (digest === layer) came += bytes
    if (came === size) link.head(host, budget)
  }
  const stored = Promise.withResolvers<string>()
  const completed = ({ digest }: { digest: string }) => digest === layer && stored.resolve(digest)
  const outcome = site.transfer.fetch(image, { signal, priority: 50, progress: { received, completed } })
  const ended = outcome.then(
    () => 'all of it',
    (error: unknown) => error,
  )
  t.equal(await Promise.race([stored.promise, ended]), layer, 'complete, whatever becomes of the rest')
  await ended
  t.match(site.transfer.obstacle(request, { priority: 50 }), { reason: 'Budget' })
  t.notMatch(
    (await site.transfer.missing(image, signal)).map(({ digest }) => digest),
    [layer],
  )
  await clock.until('2026-11-23T00:00:00Z')
  await bring(site, request)
  t.equal(upstream.count({ kind: 'blob', reference: layer }), 1)
})

t.test('two plans and one blob: it moves while one of them may move it', async t => {
  const { upstream, clock, site, layer, request } = await startSite(t, { windows: [night] })
  upstream.fault({ kind: 'blob', reference: layer }, { do: 'stall', afterBytes: 100_000 })
  const all = { windows: [{ ...night, from: 0, to: 1440 }] }
  const nightly = await fetching(site, request, 100_000)
  await nightly.reached
  const stop = new AbortController()
  const always = await fetching(site, request, 0, { limits: all, signal: stop.signal })
  await new Promise(resolve => setImmediate(resolve))
  await clock.until('2026-11-21T06:00:00Z')
  t.equal(upstream.count({ kind: 'blob', reference: layer }), 1)
  stop.abort(new Error('withdrawn'))
  await always.done
  await clock.pass(60_000)
  closed(t, await nightly.done)
})

t.test('a budget counts what crosses, failed tries too, and stops transfers at its limit', async t => {
  const rows = memoryRows()
  const { upstream, clock, link, site, layer, request } = await startSite(t, daily(700_000, rows))
  upstream.fault({ kind: 'blob', reference: layer }, { do: 'cut', afterBytes: 200_000 })
  upstream.fault({ kind: 'blob', reference: layer }, { do: 'ignoreRange' })
  const first = await fetching(site, request, 0)
  const { obstacle } = closed(t, await first.done)
  t.match(obstacle, { reason: 'Budget', until: Date.parse('2026-11-22T00:00:00Z') })
  const [account] = link.state.budget?.accounts ?? []
  t.equal(account?.left, 0)
  t.ok((account?.debt ?? 0) < 128 * 1024, 'what had come already is counted as well')
  t.match(obstacle.message, 'the budget of 700000 bytes a day is used up; goes on at 2026-11-22T00:00:00Z')

  t.match(site.transfer.obstacle(request, { priority: 99 }), { reason: 'Budget' })
  t.equal(site.transfer.obstacle(request, { priority: 100 }), undefined)
  await (await fetching(site, request, 0, { priority: 100 })).done
  const [borrowed] = link.state.budget?.accounts ?? []
  t.ok((borrowed?.debt ?? 0) > (account?.debt ?? 0))
  link.stop()
  const next = new Link({ logger: silent, clock, ...daily(700_000, rows) })
  next.start()
  t.equal(next.state.budget?.accounts[0]?.used, borrowed?.used, 'a restart forgets nothing')
  await clock.until('2026-11-22T00:00:00Z')
  t.equal(next.state.budget?.accounts[0]?.used, borrowed?.debt)
})

t.test('an upstream whose group is used up leaves its mirror to send', async t => {
  const mirror = await FakeRegistry.start()
  t.teardown(() => mirror.stop())
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  for (const registry of [mirror, upstream]) registry.putImage('web', '1', [seededBytes('layer', size)])
  const groups = [{ name: 'satellite', hosts: [upstream.host], bytes: 300_000 }]
  const clock = new VirtualClock('2026-11-21T02:00:00Z')
  const budget = { limits: { per: 'day', timezone: 'UTC', groups }, rows: memoryRows() } as const
  const link = new Link({ logger: silent, clock, budget })
  link.start()
  const site = await openSite(t, { upstreams: [upstream, mirror], link })
  const mirrors = [{ registry: mirror.host, repository: 'web' }]
  await bring(site, wish(`${upstream.host}/web:1`, { referrers: false, mirrors }))
  const blobs = { kind: 'blob', method: 'GET' } as const
  t.ok(upstream.bytesSent(blobs) >= 290_000)
  t.ok(mirror.bytesSent(blobs) > 0)
  t.match(link.state.budget?.accounts, [{ group: 'satellite', left: 0 }])
})

t.test('manifests, answers and heads count, too', async t => {
  const { upstream, link, site, request } = await startSite(t, {})
  await site.transfer.resolve(request, new AbortController().signal)
  const bodies = upstream.bytesSent()
  t.ok(link.state.receivedBytes > bodies, `${link.state.receivedBytes} for ${bodies}`)
})

t.test('the reserve of the disk is never touched', async t => {
  const free = (await (await openSite(t)).transfer.freeBytes()) ?? 0
  const { site, upstream, layer, request } = await startSite(t, {}, undefined, free * 2)
  t.equal(await site.transfer.freeBytes(), 0)
  const outcome = await (await fetching(site, request, 0)).done
  t.match(outcome, { code: 'NO_SPACE', side: 'local' })
  t.equal(upstream.count({ kind: 'blob', reference: layer }), 0)
})
