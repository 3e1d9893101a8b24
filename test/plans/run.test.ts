import t from 'tap'
import { ImageError } from '../../src/oci/errors.ts'
import { blobDigest } from '../fixtures/fake-engine.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

const web = {
  content: 'web',
  blobs: [
    { name: 'base', size: 1000 },
    { name: 'web', size: 50 },
  ],
}
const db = {
  content: 'db',
  blobs: [
    { name: 'base', size: 1000 },
    { name: 'db', size: 200 },
  ],
}

t.test('a plan becomes Ready by way of every phase', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const digest = site.engine.offer('up.example/mecm/web:1', { ...web })
  t.match(
    site.send(planOf('shop', ['up.example/mecm/web:1'], { spec: { package: { appId: 'a', hostIp: '10.0.0.7' } } })),
    {
      outcome: 'accepted',
      name: 'shop',
      revision: 1,
    },
  )
  const status = await site.reached('shop', 'Ready')
  t.strictSame(site.phases('shop'), ['Accepted', 'Resolving', 'Fetching', 'Verifying', 'Ready'])
  t.strictSame(site.engine.calls, [
    'resolve mecm/web:1',
    'fetch mecm/web:1',
    'publish mecm/web:1',
    'confirm mecm/web:1',
  ])
  t.strictSame(status, {
    plan: 'shop',
    revision: 1,
    edge: 'edge-1',
    seq: 5,
    at: '2026-11-21T08:00:00Z',
    phase: 'Ready',
    status: 'Distributed',
    reason: null,
    message: null,
    hint: null,
    quote: { bytesTotal: 1150, bytesMissing: 1050, bytesPeakDisk: 1050, verdict: 'Accepted', readyAt: null },
    bytes: { done: 1050, fetched: 1050, resumed: 0 },
    images: [
      {
        target: 'mecm/web:1',
        digest,
        phase: 'Ready',
        bytesTotal: 1150,
        bytesPresent: 100,
        bytesDone: 1050,
        attempts: 1,
        source: 'up.example',
        error: null,
      },
    ],
    package: { appId: 'a', hostIp: '10.0.0.7' },
    mecHostInfo: [{ hostIp: '10.0.0.7', status: 'Distributed', error: '' }],
  })
  t.strictSame(
    site.statuses.map(({ seq }) => seq),
    [1, 2, 3, 4, 5],
  )
})

t.test('the quote counts shared blobs once, and what is present not at all', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:1', { ...web })
  site.engine.offer('up.example/mecm/db:1', { ...db })
  site.send(planOf('one', ['up.example/mecm/web:1']))
  await site.reached('one', 'Ready')
  site.send(planOf('two', ['up.example/mecm/web:1', 'up.example/mecm/db:1']))
  const { quote, images } = await site.reached('two', 'Ready')
  t.match(quote, { bytesTotal: 1000 + 50 + 200 + 100 + 100, bytesMissing: 200 })
  t.match(images, [
    { bytesPresent: 1150, bytesDone: 0 },
    { bytesPresent: 1100, bytesDone: 200 },
  ])
})

t.test('atomic: tags and removals in one publish, after everything is here', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.offer('up.example/mecm/db:2', { ...db })
  site.send(planOf('shop', ['up.example/mecm/web:2', 'up.example/mecm/db:2'], { spec: { remove: ['mecm/web:1'] } }))
  await site.reached('shop', 'Ready')
  t.strictSame(
    site.engine.calls.filter(call => call.startsWith('publish')),
    ['publish mecm/web:2 mecm/db:2 -mecm/web:1'],
  )
  t.ok(
    site.engine.calls.indexOf('publish mecm/web:2 mecm/db:2 -mecm/web:1') >
      site.engine.calls.lastIndexOf('fetch mecm/db:2'),
  )
})

t.test('atomic: an image that cannot be had fails the plan before anything is fetched or tagged', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const gone = () => new ImageError('MANIFEST_UNKNOWN', 'no such tag', { doing: 'resolve up.example/mecm/db:2' })
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.offer('up.example/mecm/db:2', { ...db, resolveErrors: [gone()] })
  site.engine.offer('up.example/mecm/x:2', {
    ...db,
    content: 'x',
    resolveErrors: [new ImageError('DENIED', 'not yours')],
  })
  site.send(
    planOf('shop', ['up.example/mecm/web:2', 'up.example/mecm/db:2', 'up.example/mecm/x:2'], {
      spec: { package: { hostIp: ['10.0.0.7', '10.0.0.8'] } },
    }),
  )
  const status = await site.reached('shop', 'Failed')
  t.match(status, { status: 'Error', reason: 'MANIFEST_UNKNOWN', hint: /push the image/ })
  t.equal(
    status.message,
    'mecm/db:2: MANIFEST_UNKNOWN: no such tag (resolve up.example/mecm/db:2); mecm/x:2: DENIED: not yours',
    'the errors of all images',
  )
  t.match(status.images, [
    { error: null },
    { phase: 'Failed', error: /^MANIFEST_UNKNOWN/ },
    { phase: 'Failed', error: /^DENIED/ },
  ])
  t.equal(status.mecHostInfo.length, 2)
  t.equal(status.mecHostInfo[1]?.error, status.message)
  t.strictSame([site.engine.count('fetch'), site.engine.count('publish')], [0, 0])
})

t.test('atomic: a permanent failure while fetching stops the other images', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const never = new Promise<void>(() => {})
  site.engine.offer('up.example/mecm/web:2', { content: 'w', blobs: [{ name: 'slow', size: 10 }], gate: never })
  site.engine.offer('up.example/mecm/db:2', { ...db, fetchErrors: [new ImageError('BLOB_UNKNOWN', 'lost')] })
  site.send(planOf('shop', ['up.example/mecm/web:2', 'up.example/mecm/db:2']))
  const status = await site.reached('shop', 'Failed')
  t.match(status, { reason: 'BLOB_UNKNOWN', images: [{ phase: 'Waiting', error: null }, { phase: 'Failed' }] })
  t.equal(site.engine.count('publish'), 0)
})

t.test('not atomic: the others are published as they come, the failed one is told, nothing is removed', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.offer('up.example/mecm/db:2', { ...db, resolveErrors: [new ImageError('NAME_UNKNOWN', 'no such thing')] })
  const spec = { atomic: false, remove: ['mecm/web:1'] }
  site.send(planOf('shop', ['up.example/mecm/web:2', 'up.example/mecm/db:2'], { spec }))
  const status = await site.reached('shop', 'Failed')
  t.match(status, { reason: 'NAME_UNKNOWN', images: [{ phase: 'Ready', error: null }, { phase: 'Failed' }] })
  t.strictSame(
    site.engine.calls.filter(call => call.startsWith('publish')),
    ['publish mecm/web:2'],
  )
  t.ok(site.engine.calls.includes('confirm mecm/web:2'))
})

t.test('not atomic: removal is the last thing', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.publishNotes = ['a note of the registry']
  site.send(planOf('shop', ['up.example/mecm/web:2'], { spec: { atomic: false, remove: ['mecm/web:1'] } }))
  t.match(await site.reached('shop', 'Ready'), { message: 'a note of the registry' })
  t.equal(site.engine.calls.at(-1), 'publish -mecm/web:1')
})

t.test('a failure of the moment is tried again; what was published stays and is not asked for again', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const away = () => new ImageError('UNAVAILABLE', 'no answer')
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.offer('up.example/mecm/db:2', { ...db, fetchErrors: [away(), away()] })
  site.send(planOf('shop', ['up.example/mecm/web:2', 'up.example/mecm/db:2'], { spec: { atomic: false } }))
  const waiting = await site.reached('shop', 'Waiting', 'Retry')
  t.match(waiting.message, /^mecm\/db:2: UNAVAILABLE: no answer; next try at 2026-11-21T08:00:00Z$/)
  t.match(waiting, {
    status: 'Processing',
    hint: /tried again by itself/,
    images: [{ phase: 'Ready' }, { phase: 'Waiting' }],
  })
  const ready = await site.reached('shop', 'Ready')
  t.equal(site.engine.count('resolve mecm/web:2'), 1)
  t.equal(site.engine.count('resolve mecm/db:2'), 3)
  t.match(ready.images, [{ attempts: 1 }, { attempts: 3, error: null }])
})

t.test('atomic: nothing is tagged while an image still fails for the moment', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.offer('up.example/mecm/db:2', { ...db, resolveErrors: [new ImageError('TIMEOUT', 'slow')] })
  site.send(planOf('shop', ['up.example/mecm/web:2', 'up.example/mecm/db:2']))
  const ready = await site.reached('shop', 'Ready')
  t.strictSame(
    site.engine.calls.filter(call => call.startsWith('publish')),
    ['publish mecm/web:2 mecm/db:2'],
  )
  t.match(ready.bytes, { done: 1250, fetched: 1250 }, 'what had arrived before was not fetched again')
  t.match(ready.quote, { bytesTotal: 1450, bytesMissing: 1250 }, 'the quote grew with what was known')
  t.equal(site.phases('shop').filter(phase => phase === 'Waiting/Retry').length, 1)
})

t.test('a registry that asks for a longer wait gets it', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const busy = new ImageError('TOOMANYREQUESTS', 'slow down', { retryAfterMs: 3_600_000 })
  site.engine.offer('up.example/mecm/web:2', { ...web, resolveErrors: [busy] })
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  const { message } = await site.reached('shop', 'Waiting', 'Retry')
  t.match(message, /next try at 2026-11-21T09:00:00Z$/)
  t.match(site.plans.retry('shop'), { outcome: 'accepted' }, 'an operator need not wait')
  await site.reached('shop', 'Ready')
})

t.test('without room on the disk the plan waits, and says how much is missing', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.free = 1000
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  const { message, hint } = await site.reached('shop', 'Waiting', 'Space')
  t.match(message, /^needs 1050 bytes, 1000 are free: 50 bytes are missing; next try at/)
  t.match(hint, /Free space/)
  t.equal(site.engine.count('fetch'), 0)
  site.engine.free = 1050
  await site.reached('shop', 'Ready')
})

t.test('what an interrupted transfer left on disk needs no room again', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.kept.set(blobDigest('base'), 900)
  site.engine.free = 150
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  t.match(await site.reached('shop', 'Ready'), { quote: { bytesMissing: 1050, bytesPeakDisk: 150 } })
})

t.test('a disk that is full in the middle is a wait for space', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web, fetchErrors: [new ImageError('NO_SPACE', 'disk full')] })
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  await site.reached('shop', 'Waiting', 'Space')
  await site.reached('shop', 'Ready')
})

t.test('Ready is not said before the local registry confirms', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const lacking = new ImageError('LOCAL_REGISTRY', 'blob sha256:… is not there')
  site.engine.offer('up.example/mecm/web:2', { ...web, confirmErrors: [lacking] })
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  await site.reached('shop', 'Waiting', 'Retry')
  await site.reached('shop', 'Ready')
  t.equal(site.engine.count('confirm'), 2)
  t.equal(site.engine.count('publish'), 2)
})

t.test('failures of the publishing itself', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web })
  site.engine.publishErrors = [new ImageError('LOCAL_REGISTRY', 'locked'), new ImageError('LOCAL_REFUSED', 'will not')]
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  await site.reached('shop', 'Waiting', 'Retry')
  t.match(await site.reached('shop', 'Failed'), { reason: 'LOCAL_REFUSED', message: 'LOCAL_REFUSED: will not' })
  t.match(site.plans.retry('shop'), { outcome: 'accepted', revision: 1 })
  await site.reached('shop', 'Ready')
  t.match(site.plans.retry('shop'), { outcome: 'unchanged' })
  t.match(site.plans.retry('nothing'), { outcome: 'unknown' })
})

t.test('a fault of our own is tried again, and does not end the agent', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  const { message } = await site.reached('shop', 'Waiting', 'Retry')
  t.match(message, /INTERNAL: the fake upstream has no/)
  site.engine.offer('up.example/mecm/web:2', { ...web })
  await site.reached('shop', 'Ready')
})

t.test('a plan of no images but removals, and one whose description has none', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.send(planOf('away', [], { spec: { remove: ['mecm/web:1'] } }))
  await site.reached('away', 'Ready')
  t.ok(site.engine.calls.includes('publish -mecm/web:1'))
  site.send(
    planOf('vm', [], {
      spec: { images: undefined, swImageDesc: [{ name: 'vm', swImage: 'http://x.example/vm.qcow2' }] },
    }),
  )
  t.match(await site.reached('vm', 'Ready'), { message: 'vm skipped: a URL, so a virtual machine image' })
})

t.test('what the engine notes stands in the message', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/mecm/web:2', { ...web, notes: ['a layer may not be copied'] })
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  t.match(await site.reached('shop', 'Ready'), { message: 'mecm/web:2: a layer may not be copied' })
})

t.test('images are worked on a few at once', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const names = Array.from({ length: 12 }, (_, at) => `up.example/mecm/i${at}:1`)
  for (const name of names) site.engine.offer(name, { content: name, blobs: [{ name, size: 10 }] })
  site.send(planOf('many', names))
  await site.reached('many', 'Ready')
  t.equal(site.engine.mostFetching, 4)
})

t.test('progress is told between phases, with the bytes so far', async t => {
  const site = new PlanSite(t.testdir()).start()
  t.teardown(() => site.stop())
  const gate = Promise.withResolvers<void>()
  site.engine.offer('up.example/mecm/web:2', { content: 'w', blobs: [{ name: 'big', size: 1000 }], gate: gate.promise })
  const told = new Promise(resolve => site.plans.events.once('progress', resolve))
  site.send(planOf('shop', ['up.example/mecm/web:2']))
  t.match(await told, {
    plan: 'shop',
    revision: 1,
    edge: 'edge-1',
    phase: 'Fetching',
    bytesMissing: 1000,
    bytes: { done: 500, fetched: 500, resumed: 0 },
  })
  t.match(site.plans.find('shop'), { phase: 'Fetching', bytes: { done: 500 }, images: [{ bytesDone: 500 }] })
  gate.resolve()
  await site.reached('shop', 'Ready')
})
