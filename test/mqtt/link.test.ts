import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startAedes } from '../fixtures/aedes-broker.ts'
import { makeLink, openProbe, until } from '../fixtures/link.ts'

t.test('a broker that speaks only 3.1.1: said once, and everything works', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  await probe.publish('edges/edge-01/plans/a', '{"a":1}')
  await probe.publish('groups/shops/plans/b', '{"b":1}')
  await probe.publish('groups/others/plans/c', '{"c":1}')
  const { link, plans, outbox, lines } = makeLink({ url: broker.url })
  t.teardown(() => link.stop())
  outbox.add('a')
  t.match(link.status, { connected: false, lastError: null, url: broker.url })
  await link.start()
  await until('both plans', () => plans.received.length === 2)
  t.same(
    plans.received.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    [
      { scope: 'edge', name: 'a', payload: '{"a":1}' },
      { scope: 'group:shops', name: 'b', payload: '{"b":1}' },
    ],
  )
  await until('the status', () => probe.payloads('plans/a/status').length === 1)
  await until('its acknowledgement', () => outbox.acknowledgements.length === 1)
  await until('the state', () => probe.payloads('state').length === 1)
  t.match(JSON.parse(probe.payloads('state')[0] ?? ''), { edge: 'edge-01', online: true, version: '0.0.0', at: /^20/ })
  t.match(link.status, { connected: true, lastError: null })
  t.equal(lines.filter(line => line.msg.includes('3.1.1')).length, 1)

  await probe.publish('edges/edge-01/plans/a', '')
  await until('the withdrawal', () => plans.received.length === 3)
  t.same(plans.received[2], { scope: 'edge', name: 'a', payload: '' })

  await link.stop()
  await until('the goodbye', () => probe.payloads('state').length === 2)
  t.match(JSON.parse(probe.payloads('state')[1] ?? ''), { edge: 'edge-01', online: false, at: /^20/ })
  t.match(link.status, { connected: false, lastError: null })
})

t.test('a plan that can not be stored is not acknowledged, and comes again until it is', async t => {
  let acknowledged = 0
  const broker = await startAedes()
  broker.aedes.on('ack', (_packet, client) => {
    if (client.id === 'edge-image-agent-edge-01') acknowledged += 1
  })
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const { link, plans } = makeLink({ url: broker.url })
  t.teardown(() => link.stop())
  await link.start()
  await until('the connection', () => link.status.connected)
  await until('the subscription', () => probe.payloads('state').length === 1)
  plans.failure = new Error('disk full')
  await probe.publish('edges/edge-01/plans/a', '{"a":1}', false)
  await until('three tries', () => plans.refusals >= 3)
  t.equal(acknowledged, 0, 'no PUBACK went out')
  t.match(link.status.lastError, /disk full/)
  plans.failure = undefined
  await until('the plan', () => plans.received.length >= 1)
  t.equal(plans.received[0]?.name, 'a')
  await until('the PUBACK', () => acknowledged > 0)
})

t.test('a broker that is away delays statuses, loses none and changes no order', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const { link, plans, outbox, lines } = makeLink({ url: broker.url })
  t.teardown(() => link.stop())
  const order: number[] = []
  broker.aedes.on('publish', packet => {
    if (packet.topic.endsWith('/status')) order.push(JSON.parse(packet.payload.toString()).seq)
  })
  await link.start()
  await until('the connection', () => link.status.connected)
  for (let i = 0; i < 50; i += 1) outbox.add('a')
  plans.events.emit('outbox')
  await until('some', () => outbox.acknowledgements.length > 5)
  await broker.vanish()
  await until('the loss', () => !link.status.connected)
  const before = outbox.acknowledgements.length
  for (let i = 0; i < 50; i += 1) outbox.add('a')
  plans.events.emit('outbox')
  await until('a failed try', () => /refuses the connection/.test(link.status.lastError ?? ''))
  await delay(200)
  t.equal(outbox.acknowledgements.length, before, 'nothing is acknowledged meanwhile')
  const said = (words: RegExp) => lines.filter(line => words.test(line.msg)).length
  t.equal(said(/(closed|cut) the connection/), 1, 'the loss is said once')
  t.equal(said(/refuses the connection/), 1, 'repeats are not')
  await broker.reopen()
  await until('all of them', () => outbox.rows.length === 0)
  t.equal(said(/connected to the broker/), 2, 'the log ends with the truth')
  t.same(
    [...new Set(order)],
    Array.from({ length: 100 }, (_, i) => i + 1),
    'in order',
  )
})

t.test('what the session of an earlier configuration brings is acknowledged and unsubscribed', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const old = makeLink({ url: broker.url, groups: ['shops', 'ships'] })
  await old.link.start()
  await until('the old session', () => broker.aedes.connectedClients === 1 && old.link.status.connected)
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  await until('the subscriptions', () => probe.payloads('state').length > 0)
  await old.link.stop()
  await probe.publish('groups/ships/plans/x', '{}', false)
  const unsubscribed: string[] = []
  broker.aedes.on('unsubscribe', (topics, client) => {
    if (client.id === 'edge-image-agent-edge-01') unsubscribed.push(...topics)
  })
  const { link, plans } = makeLink({ url: broker.url, groups: ['shops'] })
  t.teardown(() => link.stop())
  await link.start()
  await until('the unsubscription', () => unsubscribed.length > 0)
  t.same(unsubscribed, ['mecm/v1/groups/ships/plans/+'])
  t.equal(plans.received.length, 0)
})

t.test('progress: the newest of each plan, and not more than its share', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const { link, plans } = makeLink({ url: broker.url, timing: { progressIntervalMs: 300 } })
  t.teardown(() => link.stop())
  await link.start()
  await until('the state', () => probe.payloads('state').length === 1)
  const tell = (plan: string, done: number) =>
    plans.events.emit('progress', {
      plan,
      revision: 1,
      edge: 'edge-01',
      at: '2026-11-21T08:00:00Z',
      phase: 'Fetching',
      bytesMissing: 1000,
      bytes: { done, fetched: done, resumed: 0 },
      rate: 1,
      secondsLeft: 1,
    })
  for (let done = 0; done < 100; done += 1) {
    tell('a', done)
    tell('b', done)
  }
  await until('the first', () => probe.payloads('plans/b/progress').length === 1)
  const first = performance.now()
  tell('a', 500)
  tell('a', 600)
  await until('the second', () => probe.payloads('plans/a/progress').length === 2)
  t.ok(performance.now() - first > 200, 'not at once')
  t.same(
    probe.payloads('plans/a/progress').map(text => JSON.parse(text).bytes.done),
    [99, 600],
  )
  t.equal(probe.payloads('plans/b/progress').length, 1)
  t.notOk(probe.seen.some(one => one.topic.endsWith('/progress') && one.retain))
})

t.test('the state is sent again when it changed, and not otherwise', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  let used = 1
  let looks = 0
  const stateDocument = () => {
    looks += 1
    return { used }
  }
  const { link } = makeLink({ url: broker.url, stateDocument, timing: { stateIntervalMs: 10 } })
  t.teardown(() => link.stop())
  await link.start()
  await until('looks', () => looks > 10)
  t.equal(probe.payloads('state').length, 1, 'an idle site sends nothing')
  used = 2
  await until('the change', () => probe.payloads('state').length === 2)
  t.match(JSON.parse(probe.payloads('state')[1] ?? ''), { online: true, used: 2 })
})

t.test('wrong credentials: in plain words, without the credentials', async t => {
  const broker = await startAedes({
    authenticate: (_client, _username, password, done) => {
      const right = password?.toString() === 'right'
      done(right ? null : Object.assign(new Error('no'), { returnCode: 4 }), right)
    },
  })
  t.teardown(() => broker.close())
  const url = `mqtt://edge-01:s3cret@127.0.0.1:${broker.port}`
  const { link, lines } = makeLink({ url })
  t.teardown(() => link.stop())
  await link.start()
  await until('the refusal', () => /user name or password/.test(link.status.lastError ?? ''))
  await until('the log', () => lines.some(line => /user name or password/.test(line.msg)))
  t.notMatch(JSON.stringify([lines, link.status]), /s3cret/)
  t.equal(link.status.url, `mqtt://127.0.0.1:${broker.port}`)

  const good = makeLink({ url, username: 'edge-01', password: 'right' })
  t.teardown(() => good.link.stop())
  await good.link.start()
  await until('the connection', () => good.link.status.connected)
})

t.test('the last error says what is wrong with the other end', async t => {
  const web = createServer(socket => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(
    0,
    '127.0.0.1',
  )
  t.teardown(() => web.close())
  const deaf = createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  t.teardown(() => deaf.close())
  await delay(20)
  const portOf = (server: typeof web) => {
    const address = server.address()
    return typeof address === 'object' && address ? address.port : 0
  }
  const cases = [
    { url: `mqtt://127.0.0.1:${portOf(web)}`, words: /127\.0\.0\.1/ },
    { url: `mqtt://127.0.0.1:${portOf(deaf)}`, words: /did not answer in time/ },
    { url: 'mqtt://127.0.0.1:1', words: /refuses the connection/ },
    { url: 'mqtt://no-such-host.invalid', words: /can not be resolved/ },
    { url: 'mqtts://127.0.0.1:1', caFile: '/no/such/file', words: /mqtt\.caFile can not be read/ },
  ]
  for (const { words, ...options } of cases) {
    const { link } = makeLink({ ...options, timing: { connectTimeoutMs: 100 } })
    await link.start()
    await until(String(words), () => words.test(link.status.lastError ?? ''))
    await link.stop()
  }
  t.throws(() => makeLink({ url: 'http://broker' }), { code: 'address' })
  t.throws(() => makeLink({ url: 'secret broker' }), { code: 'address', message: /^(?!.*secret)/ })
})

t.test('stop ends in time, whatever the broker does', async t => {
  const sockets: ReturnType<typeof connect>[] = []
  let mute = false
  const broker = await startAedes()
  t.teardown(() => broker.close())
  // a line that goes dead without anybody hearing of it
  const line = createServer(socket => {
    const behind = connect(broker.port, '127.0.0.1')
    sockets.push(socket, behind)
    for (const one of [socket, behind]) one.on('error', () => {})
    socket.on('data', data => mute || behind.write(data))
    behind.on('data', data => mute || socket.write(data))
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    line.close()
    for (const socket of sockets) socket.destroy()
  })
  await delay(20)
  const address = line.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const { link, plans, outbox } = makeLink({ url: `mqtt://127.0.0.1:${port}` })
  await link.start()
  await until('the connection', () => link.status.connected)
  mute = true
  outbox.add('a')
  plans.events.emit('outbox')
  const begun = performance.now()
  await link.stop()
  t.ok(performance.now() - begun < 2500, 'two seconds')
  t.equal(outbox.rows.length, 1, 'kept')
  t.equal(plans.events.listenerCount('outbox') + plans.events.listenerCount('progress'), 0, 'nobody listens any more')
})

t.test('a hundred lost connections leave no listener and no timer behind', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const { link, plans } = makeLink({ url: broker.url, timing: { retryMinMs: 1, retryMaxMs: 2 } })
  t.teardown(() => link.stop())
  await link.start()
  await until('the connection', () => link.status.connected)
  const counts = () => ({
    timers: process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length,
    sockets: process.getActiveResourcesInfo().filter(kind => kind === 'TCPSocketWrap').length,
    listeners: plans.events.listenerCount('outbox'),
  })
  await delay(50)
  const before = counts()
  for (let i = 0; i < 100; i += 1) {
    const taken = broker.connections()
    await broker.vanish()
    await broker.reopen()
    await until('the next connection', () => broker.connections() > taken && link.status.connected)
  }
  await delay(50)
  const after = counts()
  t.ok(after.timers <= before.timers + 2, `timers: ${before.timers} then ${after.timers}`)
  t.ok(after.sockets <= before.sockets + 1, `sockets: ${before.sockets} then ${after.sockets}`)
  t.equal(after.listeners, 1)
})

t.test('a new state folder takes up the sequence of statuses from the broker before any plan', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  await probe.publish('edges/edge-01/plans/a/status', '{"seq":41}')
  await probe.publish('edges/edge-01/plans/b/status', '{"seq":217}')
  await probe.publish('edges/edge-01/plans/c/status', 'not JSON')
  await probe.publish('edges/edge-01/plans/a', '{}')
  const { link, plans, outbox } = makeLink({ url: broker.url, freshState: true })
  t.teardown(() => link.stop())
  const known: (number | undefined)[] = []
  plans.receive = () => {
    known.push(outbox.continued)
    return { outcome: 'accepted', name: 'a' }
  }
  await link.start()
  await until('the plan', () => known.length > 0)
  t.same(known, [217])
})
