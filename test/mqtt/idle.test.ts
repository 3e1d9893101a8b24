/** What an idle edge costs its link: every byte that it writes to the broker, over hours of the test's clock. */
import t from 'tap'
import { LinkEmulator } from '../../bench/link-emulator.ts'
import { steadyFigure } from '../../src/agent/steady-figure.ts'
import { startAedes } from '../fixtures/aedes-broker.ts'
import { makeLink, openProbe, until } from '../fixtures/link.ts'
import { epoch, PlanSite, planOf } from '../fixtures/plan-site.ts'

const minuteMs = 60_000
const MiB = 1024 * 1024

t.test('an idle edge sends at most 1 KiB an hour', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const wire = new LinkEmulator({ port: broker.port })
  await wire.start()
  t.teardown(() => wire.stop())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 1_000 }] })

  let minutes = 0
  let images = 0
  const round = steadyFigure(256 * MiB)
  // Once a minute the edge looks whether it has news. Others write on the same disk, a gigabyte every time.
  const stateDocument = () => {
    site.clock = epoch + ++minutes * minuteMs
    site.plans.sweep()
    return {
      version: '1.2.3',
      platforms: ['linux/amd64', 'linux/arm64'],
      groups: ['shops'],
      registry: { kind: 'embedded', address: 'edge-01.shops.example:5000' },
      storage: { usedBytes: 5_368_709_120, freeBytes: round(100_000 * MiB - minutes * 1024 * MiB) },
      inventory: { images, fingerprint: `sha256:${'0'.repeat(64)}` },
    }
  }
  const { link } = makeLink({
    url: `mqtt://${wire.host}`,
    plans: site.plans,
    outbox: site.outbox,
    stateDocument,
    now: () => site.clock,
    timing: { stateIntervalMs: 2 },
  })
  t.teardown(() => link.stop())
  await link.start()
  await until('the connection', () => link.status.connected)
  site.send(planOf('shop', ['up.example/web:1']))
  await site.reached('shop', 'Ready')
  await until('its statuses', () => site.outbox.size === 0)
  const quiet = minutes
  await until('the next minutes', () => minutes >= quiet + 60)

  const [from, before] = [minutes, wire.counts.bytesToServer]
  await until('six hours', () => minutes >= from + 360)
  const perHour = ((wire.counts.bytesToServer - before) * 60) / (minutes - from)
  t.ok(perHour > 0, 'what others do to the disk is told at times')
  t.ok(perHour <= 1024, `${perHour} bytes an hour`)

  const told = probe.payloads('state').length
  images = 1
  await until('the news', () => probe.payloads('state').length > told)
  t.match(JSON.parse(probe.payloads('state').at(-1) ?? ''), {
    inventory: { images: 1 },
    storage: { freeBytes: Number },
  })
})
