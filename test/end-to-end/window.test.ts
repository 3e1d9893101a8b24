/** A plan over several nights, with the real engine, a real store and a real upstream; the clock is the test's. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Link } from '../../src/transfer/link/link.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'
import { openSite } from '../fixtures/site.ts'
import { silent } from '../fixtures/state-folder.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const size = 900_000

t.test('a plan whose window closes inside a blob goes on from that byte, night after night', async t => {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const { layers } = upstream.putImage('mecm/web', '1', [seededBytes('layer', size)])
  const layer = { kind: 'blob', reference: layers[0]?.digest ?? '' } as const
  for (const _night of [1, 2]) upstream.fault(layer, { do: 'stall', afterBytes: 300_000 })

  const clock = new VirtualClock('2026-11-21T12:00:00Z')
  const link = new Link({ logger: silent, clock })
  const { transfer, store } = await openSite(t, { upstreams: [upstream], link, stallTimeoutMs: 60_000 })
  const dir = mkdtempSync(join(tmpdir(), 'window-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const site = new PlanSite(dir, { now: () => clock.now(), engine: transfer }).start()
  t.teardown(() => site.stop())

  const window = { from: '01:00', to: '05:00', timezone: 'Asia/Shanghai' }
  site.post(planOf('shop', [`${upstream.host}/mecm/web:1`], { spec: { window } }))
  const waiting = await site.reached('shop', 'Waiting', 'Window')
  t.match(waiting, { message: "outside the plan's own windows; goes on at 2026-11-21T17:00:00Z" })
  t.equal(upstream.count(layer), 0)
  t.match(waiting.quote, { bytesMissing: waiting.quote?.bytesTotal ?? 0 }, 'known before the window opens')

  for (const [night, opens] of ['2026-11-21T17:00:00Z', '2026-11-22T17:00:00Z'].entries()) {
    await clock.until(opens)
    await site.reached('shop', 'Fetching')
    await until(() => (site.plans.find('shop')?.bytes.done ?? 0) >= (night + 1) * 300_000)
    await clock.pass(4 * 3_600_000)
    t.match(await site.reached('shop', 'Waiting', 'Window'), { hint: String, images: [{ error: null }] })
  }
  await clock.until('2026-11-23T17:00:00Z')
  await site.reached('shop', 'Ready')
  t.same(
    upstream.find(layer).map(request => request.headers.range),
    [undefined, 'bytes=300000-', 'bytes=600000-'],
  )
  t.equal(upstream.bytesSent(layer), size, 'every byte crossed once')
  t.ok(store.findTag('mecm/web', '1'))
})

/** Lets the process work until `check` holds, for ten seconds at most. */
async function until(check: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !check(); ) {
    if (performance.now() > end) throw new Error('what was waited for did not happen')
    await new Promise(resolve => setImmediate(resolve))
  }
}
