/** The link with the real plans and the real outbox behind it: what a publisher sees of a plan's life. */
import t from 'tap'
import { startAedes } from '../fixtures/aedes-broker.ts'
import { makeLink, openProbe, until } from '../fixtures/link.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

t.test('a plan over MQTT, from its arrival to its withdrawal; a bad one is answered', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const site = new PlanSite(t.testdir())
  site.engine.offer('registry.example/mecm/web:1', { content: 'web', blobs: [{ name: 'layer', size: 1000 }] })
  const { plans, outbox } = site
  const { link } = makeLink({ url: broker.url, edge: 'edge-1', groups: ['shops', 'all'], plans, outbox })
  t.teardown(async () => {
    await link.stop()
    await site.stop()
  })
  site.start()
  await link.start()
  const statuses = (plan: string) =>
    probe.seen
      .filter(one => one.topic === `mecm/v1/edges/edge-1/plans/${plan}/status`)
      .map(one => JSON.parse(one.payload))

  const plan = JSON.stringify(planOf('shop', ['registry.example/mecm/web:1']))
  await probe.publish('groups/shops/plans/shop', plan)
  await until('Ready', () => statuses('shop').some(status => status.phase === 'Ready'))
  t.match(statuses('shop').at(-1), { plan: 'shop', revision: 1, status: 'Distributed' })

  const told = statuses('shop').length
  await probe.publish('groups/shops/plans/shop', plan)
  await probe.publish('edges/edge-1/plans/bad', 'not a plan')
  await until('the answer', () => statuses('bad').length > 0)
  t.match(statuses('bad')[0], { phase: 'Rejected', reason: 'Invalid' })
  t.equal(statuses('shop').length, told, 'the same plan again says nothing')

  await probe.publish('groups/shops/plans/shop', '')
  await until('the withdrawal', () => statuses('shop').at(-1)?.phase === 'Withdrawn')
  const seqs = probe.seen.filter(one => one.topic.endsWith('/status')).map(one => Number(JSON.parse(one.payload).seq))
  t.same(
    seqs,
    seqs.toSorted((a, b) => a - b),
    'in order',
  )
  t.equal(new Set(seqs).size, seqs.length, 'each once')
  await until('the acknowledgements', () => outbox.size === 0)
})

t.test('what happened while the broker was away is told by the next process', async t => {
  const dir = t.testdir()
  const alone = new PlanSite(dir)
  alone.engine.offer('registry.example/mecm/web:1', { content: 'web', blobs: [{ name: 'layer', size: 1000 }] })
  alone.start()
  for (const name of ['one', 'two', 'three']) alone.send(planOf(name, ['registry.example/mecm/web:1']))
  for (const name of ['one', 'two', 'three']) await alone.reached(name, 'Ready')
  await alone.stop()

  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const site = new PlanSite(dir).start()
  const { plans, outbox } = site
  const waiting = outbox.size
  t.ok(waiting >= 3)
  const { link } = makeLink({ url: broker.url, edge: 'edge-1', groups: [], plans, outbox })
  t.teardown(async () => {
    await link.stop()
    await site.stop()
  })
  await link.start()
  await until('all to be told', () => outbox.size === 0)
  const ready = () =>
    probe.seen.filter(one => one.topic.endsWith('/status') && JSON.parse(one.payload).phase === 'Ready')
  await until('the last', () => ready().length === 3)
  t.equal(broker.connections(), 3, 'the probe, the try with MQTT 5, and the one that did it all')
})

t.test('a broker that has forgotten everything is told again how every plan is, one that has not is not', async t => {
  const site = new PlanSite(t.testdir())
  site.engine.offer('registry.example/mecm/web:1', { content: 'web', blobs: [{ name: 'layer', size: 1000 }] })
  site.start()
  t.teardown(() => site.stop())
  for (const name of ['one', 'two']) {
    site.send(planOf(name, ['registry.example/mecm/web:1']))
    await site.reached(name, 'Ready')
  }
  site.acknowledgeAll()
  const { plans, outbox } = site
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const payloads = (suffix: string) => probe.seen.filter(one => one.topic.endsWith(suffix)).map(one => one.payload)
  const connect = async () => {
    const { link } = makeLink({ url: broker.url, edge: 'edge-1', groups: [], plans, outbox })
    const states = payloads('state').length
    await link.start()
    await until('the state', () => payloads('state').length > states)
    await until('the acknowledgements', () => outbox.size === 0)
    await link.stop()
  }
  const told = () => ['one', 'two'].map(name => payloads(`plans/${name}/status`).map(text => JSON.parse(text).seq))
  const seqs = ['one', 'two'].map(name => [site.plans.find(name)?.seq])
  await connect()
  t.strictSame(told(), seqs, 'with the numbers that they have')
  await connect()
  t.strictSame(told(), seqs)
})
