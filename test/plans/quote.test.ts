/** What a plan would take: over several images, and against rate, window, disk and deadline, in a clock's time. */
import t from 'tap'
import { ImageError } from '../../src/oci/errors.ts'
import { readWindow } from '../../src/oci/time-window.ts'
import { judgeTime } from '../../src/plans/outlook.ts'
import { Link, type LinkOptions } from '../../src/transfer/link/link.ts'
import { epoch, logger, PlanSite, planOf } from '../fixtures/plan-site.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const hour = 3_600_000

function linkOf(options: Partial<LinkOptions> = {}): Link {
  return new Link({ clock: new VirtualClock(epoch), logger, ...options })
}

async function ask(site: PlanSite, document: object) {
  const answer = await site.plans.quote(Buffer.from(JSON.stringify(document)), AbortSignal.timeout(5_000))
  if (answer.kind === 'refused') throw new Error(answer.problems.join())
  return answer.quote
}

t.test('a quote counts shared blobs once, and stores and begins nothing', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.link = linkOf({ maxRate: 100 })
  const base = { name: 'base', size: 1_000 }
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [base, { name: 'web', size: 200 }] })
  site.engine.offer('up.example/api:1', { content: 'api', blobs: [base, { name: 'api', size: 300 }] })
  site.engine.has('web')

  const plan = planOf('shop', ['up.example/web:1', 'up.example/api:1'])
  const quote = await ask(site, plan)
  t.match(quote, { plan: 'shop', revision: 1, edge: 'edge-1', message: null, readyBy: null })
  t.same(quote.quote, {
    bytesTotal: 1_700,
    bytesMissing: 1_300,
    bytesPeakDisk: 1_300,
    verdict: 'Accepted',
    readyAt: '2026-11-21T08:00:13Z',
  })
  t.same(
    quote.images.map(({ target, bytesTotal, bytesPresent }) => [target, bytesTotal, bytesPresent]),
    [
      ['web:1', 1_300, 300],
      ['api:1', 1_400, 100],
    ],
  )
  t.same(site.plans.list(), [], 'nothing is stored')
  t.same(site.statuses, [])
  t.same(site.messages(), [])
  t.equal(site.engine.count('fetch') + site.engine.count('publish'), 0)

  site.post(plan)
  const ready = await site.reached('shop', 'Ready')
  t.match(ready.quote, { bytesTotal: 1_700, bytesMissing: 1_300, bytesPeakDisk: 1_300, verdict: 'Accepted' })
  t.equal(ready.message, null)
})

t.test('a plan that is not valid is told so', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const answer = await site.plans.quote(Buffer.from('kind: DistributionPlan'), AbortSignal.timeout(5_000))
  t.equal(answer.kind, 'refused')
})

t.test('what can not be had, and what does not fit, in numbers', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 1_000 }] })
  site.engine.free = 400
  const small = await ask(site, planOf('small', ['up.example/web:1']))
  t.equal(small.quote.verdict, 'Infeasible')
  t.match(small.message, /needs 1000 bytes on the disk, 400 are free: 600 bytes are missing/)

  site.engine.free = undefined
  const unknown = new ImageError('MANIFEST_UNKNOWN', 'not there')
  const away = new ImageError('UNAVAILABLE', 'away')
  site.engine.offer('up.example/gone:1', { content: 'gone', blobs: [], resolveErrors: [unknown] })
  const gone = await ask(site, planOf('gone', ['up.example/web:1', 'up.example/gone:1']))
  t.match(gone, { quote: { verdict: 'Infeasible', readyAt: null }, message: /gone:1: MANIFEST_UNKNOWN/ })
  site.engine.offer('up.example/away:1', { content: 'away', blobs: [], resolveErrors: [away] })
  const later = await ask(site, planOf('later', ['up.example/away:1']))
  t.match(later, { quote: { verdict: 'AtRisk', readyAt: null }, message: /away:1: UNAVAILABLE/ })
})

t.test('the verdict on a deadline: certain by the limits, at risk by the rate', async t => {
  const night = [readWindow({ from: '01:00', to: '05:00', timezone: 'UTC' })]
  const verdict = (link: Link, bytes: number, readyBy: number | undefined, rate?: number, ahead = 0) =>
    judgeTime(
      { priority: 50, limits: {}, ...(readyBy === undefined ? {} : { readyBy }) },
      { bytes, disk: 0, hosts: ['up.example'], ahead },
      { engine: { link, freeBytes: async () => undefined }, now: epoch, rate },
    )
  const opens = epoch + 17 * hour

  t.same(verdict(linkOf(), 1_000, epoch + hour), { verdict: 'Accepted', readyAt: undefined, message: undefined })
  t.same(verdict(linkOf(), 0, undefined), { verdict: 'Accepted', readyAt: epoch, message: undefined })
  t.match(verdict(linkOf({ maxRate: 1 }), 3_600, epoch + hour), { verdict: 'Accepted', readyAt: epoch + hour })

  const capped = verdict(linkOf({ maxRate: 1 }), 4_000, epoch + hour)
  t.equal(capped.verdict, 'Infeasible')
  t.match(capped.message, /needs 4000 bytes, the link's limits allow 3600 until 2026-11-21T09:00:00Z; ready at about/)

  t.match(verdict(linkOf({ windows: night }), 1_000, opens - hour, 100), {
    verdict: 'Infeasible',
    message: /allow 0 until/,
  })
  t.match(verdict(linkOf({ windows: night }), 360_000, opens + hour, 100), { verdict: 'Accepted' })
  const slow = verdict(linkOf({ windows: night }), 720_000, opens + hour, 100)
  t.match(slow, { verdict: 'AtRisk', readyAt: opens + 2 * hour })
  t.match(
    slow.message,
    /needs 720000 bytes, the link allows about 360000 until 2026-11-22T02:00:00Z; ready at about 2026-11-22T03:00:00Z/,
  )
  t.match(verdict(linkOf(), 100, epoch + 60_000, 10, 1_000), {
    verdict: 'AtRisk',
    message: /after 1000 of plans that go first/,
  })
  t.match(verdict(linkOf(), 100, epoch - 1), { verdict: 'Infeasible', message: /was to be ready by/ })
  const never = [{ ...readWindow({ from: '01:00', to: '05:00', timezone: 'UTC' }), days: [] }]
  t.match(verdict(linkOf({ windows: never }), 1, undefined), { verdict: 'Infeasible', message: /within a year/ })
})
