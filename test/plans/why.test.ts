/** Every plan that waits or has failed can say why: what it waits for, what went wrong, when it goes on. */
import t from 'tap'
import { type ErrorCode, errorCodes, ImageError } from '../../src/oci/errors.ts'
import { readWindow } from '../../src/oci/time-window.ts'
import { waitingReasons } from '../../src/plans/status.ts'
import { explainPlan, sayPlan } from '../../src/plans/why.ts'
import { Link } from '../../src/transfer/link/link.ts'
import { epoch, logger, PlanSite, planOf } from '../fixtures/plan-site.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

function isErrorCode(code: string): code is ErrorCode {
  return code in errorCodes
}

const forever = new Promise<void>(() => {})

async function why(site: PlanSite, name: string) {
  const [first, ...others] = await site.plans.why(name)
  if (first === undefined) throw new Error(`nothing wants ${name}`)
  return { first, others, text: sayPlan(first).join('\n') }
}

t.test('a try that failed: error, hint, how often, and when it is tried next', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 60_000, maxMs: 60_000 } }).start()
  t.teardown(() => site.stop())
  const away = new ImageError('UNAVAILABLE', 'registry is away')
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [], resolveErrors: [away] })
  site.send(planOf('shop', ['up.example/web:1']))
  await site.reached('shop', 'Waiting', 'Retry')
  for (const name of ['shop', 'web:1', 'web', 'up.example/web:1', 'up.example/web']) {
    const { first, text } = await why(site, name)
    t.match(first, { plan: 'shop', phase: 'Waiting', reason: 'Retry', failures: 1, hosts: ['up.example'] }, name)
    t.match(first.lastError, { code: 'UNAVAILABLE', target: 'web:1', at: '2026-11-21T08:00:00Z' })
    t.ok(Date.parse(first.nextTryAt ?? '') > epoch)
    t.equal(text.split('registry is away').length, 2, 'told once')
    t.equal(first.quote?.readyAt ?? null, null, 'of what could not be asked about, nothing is promised')
    t.match(text, /UNAVAILABLE: registry is away/)
    t.match(text, /the next try is at 2026-11-21T08:0/)
    t.match(text, /what to do: /)
  }
  t.same(await site.plans.why('other:1'), [])
})

t.test('every code of an error is explained: what, why, what to do, and whether it is tried again', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 60_000, maxMs: 60_000 } }).start()
  t.teardown(() => site.stop())
  for (const code of Object.keys(errorCodes).filter(isErrorCode)) {
    const error = new ImageError(code, `this is ${code}`)
    const name = code.toLowerCase().replaceAll('_', '-')
    site.engine.offer(`up.example/${name}:1`, { content: name, blobs: [], resolveErrors: [error] })
    site.send(planOf(name, [`up.example/${name}:1`]))
    await site.reached(name, error.transient ? 'Waiting' : 'Failed')
    const { first, text } = await why(site, `${name}:1`)
    t.equal(first.reason, error.transient ? (code === 'NO_SPACE' ? 'Space' : 'Retry') : code)
    t.match(first.lastError, error.transient ? { code, target: `${name}:1` } : null, code)
    for (const part of [code, error.message, error.hint]) t.ok(text.includes(part), `${code}: ${part}`)
    t.equal(/the next try is at 2026-11-21T08:0/.test(text), error.transient, code)
  }
})

t.test('every reason to wait is explained', async t => {
  const site = new PlanSite(t.testdir(), { maxRuns: 1 }).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 1 }], gate: forever })
  site.send(planOf('shop', ['up.example/web:1']))
  const status = await site.reached('shop', 'Fetching')
  for (const reason of waitingReasons) {
    const told = { ...status, phase: 'Waiting' as const, reason, message: `because of ${reason}`, hint: `do ${reason}` }
    const facts = { status: told, plan: undefined, standing: undefined, engine: site.engine }
    const text = sayPlan(await explainPlan(facts, () => true)).join('\n')
    for (const part of [`Waiting (${reason}) since`, told.message, `what to do: ${told.hint}`]) {
      t.ok(text.includes(part), part)
    }
  }
})

t.test('a permanent failure keeps its code and its hint', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const gone = new ImageError('MANIFEST_UNKNOWN', 'no such tag')
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [], resolveErrors: [gone] })
  site.send(planOf('shop', ['up.example/web:1']))
  await site.reached('shop', 'Failed')
  const { first, text } = await why(site, 'web:1')
  t.match(first, { phase: 'Failed', reason: 'MANIFEST_UNKNOWN', position: null, nextTryAt: null })
  t.match(text, /MANIFEST_UNKNOWN[\s\S]*what to do: /)
})

t.test('the line: the position of each, deadlines before the others of a priority', async t => {
  const site = new PlanSite(t.testdir(), { maxRuns: 1 }).start()
  t.teardown(() => site.stop())
  for (const name of ['first', 'second', 'third']) {
    site.engine.offer(`up.example/${name}:1`, { content: name, blobs: [{ name, size: 10 }], gate: forever })
    site.send(planOf(name, [`up.example/${name}:1`]))
  }
  await site.reached('first', 'Fetching')
  await site.reached('third', 'Waiting', 'Queue')
  t.equal((await why(site, 'first')).first.position, null)
  t.equal((await why(site, 'second:1')).first.position, 1)
  const third = await why(site, 'third:1')
  t.equal(third.first.position, 2)
  t.match(third.text, /Waiting \(Queue\)[\s\S]*1 plans come before it/)
})

t.test('a closed window and a full disk', async t => {
  const site = new PlanSite(t.testdir(), { retry: { firstMs: 60_000, maxMs: 60_000 } }).start()
  t.teardown(() => site.stop())
  const windows = [readWindow({ from: '01:00', to: '05:00', timezone: 'UTC' })]
  site.engine.link = new Link({ clock: new VirtualClock(epoch), logger, windows, maxRate: 1_000 })
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 1_000 }] })
  site.send(planOf('shop', ['up.example/web:1']))
  await site.reached('shop', 'Waiting', 'Window')
  const night = await why(site, 'web:1')
  t.match(night.text, /outside the transfer windows; goes on at 2026-11-22T01:00:00Z/)
  t.match(night.text, /the site's rate is 1000 bytes a second/)

  site.engine.free = 600
  site.send(planOf('big', ['up.example/web:1'], { spec: { window: { from: '00:00', to: '24:00', timezone: 'UTC' } } }))
  await site.reached('big', 'Waiting', 'Space')
  const { first, text } = await why(site, 'big')
  t.same(first.space, { needed: 1_000, free: 600, missing: 400 })
  t.match(text, /400 bytes of disk are missing: it needs 1000, 600 are free/)
})

t.test('a refused plan is explained, too; those that ended well come last', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.send({ kind: 'DistributionPlan' }, 'edge', 'bad')
  t.match((await why(site, 'bad')).text, /Rejected \(Invalid\)[\s\S]*missing[\s\S]*Correct the plan/)

  site.engine.offer('up.example/web:1', { content: 'web', blobs: [] })
  site.engine.offer('up.example/api:1', { content: 'api', blobs: [{ name: 'api', size: 1 }], gate: forever })
  site.send(planOf('done', ['up.example/web:1']))
  await site.reached('done', 'Ready')
  site.send(planOf('more', ['up.example/web:1', 'up.example/api:1']))
  await site.reached('more', 'Fetching')
  const { first, others } = await why(site, 'web:1')
  t.same([first.plan, ...others.map(other => other.plan)], ['more', 'done'])
  t.same(
    first.images.map(image => image.target),
    ['web:1'],
    'of the images, those that are asked about',
  )
})

t.test('a plan that was withdrawn wants nothing any more', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 1 }], gate: forever })
  site.send(planOf('shop', ['up.example/web:1']))
  await site.reached('shop', 'Fetching')
  site.empty('shop')
  const { first, text } = await why(site, 'shop')
  t.match(first, { phase: 'Withdrawn', link: [], hosts: [] })
  t.match(text, /does not want it any more: Withdrawn/)
  t.same(await site.plans.why('web:1'), [])
})
