/** The link to the broker against a real one: MQTT 5, sessions on disk, TLS, passwords, access rules. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { makeLink, openProbe, until } from '../fixtures/link.ts'
import { lacking } from '../fixtures/programs.ts'
import { makeCertificates, startMosquitto } from '../fixtures/real-servers.ts'

const skip = lacking('mosquitto')
const skipTls = lacking('mosquitto', 'openssl')

function startChild(url: string, mode: 'die' | 'stay'): ChildProcess {
  const file = fileURLToPath(new URL('../fixtures/link-child.ts', import.meta.url))
  return spawn(process.execPath, [file, url, mode], { stdio: ['ignore', 'pipe', 'inherit'] })
}

t.test('MQTT 5: plans in, statuses out, the session outlives the link and the broker', { skip }, async t => {
  const dir = t.testdir()
  const first = await startMosquitto(dir, { persistence: true })
  const probe = await openProbe(first.url)
  t.teardown(() => probe.close())
  await probe.publish('edges/edge-01/plans/a', '{"a":1}')
  await probe.publish('groups/shops/plans/b', '{"b":1}')

  const before = makeLink({ url: first.url })
  t.teardown(() => before.link.stop())
  before.outbox.add('a')
  await before.link.start()
  await until('the retained plans', () => before.plans.received.length === 2)
  await until('the status', () => probe.payloads('plans/a/status').length === 1)
  t.match(before.link.status, { connected: true, lastError: null })
  t.notOk(before.lines.some(line => line.msg.includes('3.1.1')))
  await before.link.stop()
  await until('the goodbye', () => /"online":false/.test(probe.payloads('state').at(-1) ?? ''))

  await probe.publish('edges/edge-01/plans/c', '{"c":1}', false)
  await probe.publish('groups/shops/plans/b', '')
  await first.stop()
  const second = await startMosquitto(dir, { persistence: true, port: first.port })
  t.teardown(() => second.stop())
  const after = makeLink({ url: second.url })
  t.teardown(() => after.link.stop())
  await after.link.start()
  await until('what the session kept and what is retained', () => after.plans.received.length >= 3)
  t.same(
    after.plans.received.toSorted((x, y) => (x.name < y.name ? -1 : 1)),
    [
      { scope: 'edge', name: 'a', payload: '{"a":1}' },
      { scope: 'group:shops', name: 'b', payload: '' },
      { scope: 'edge', name: 'c', payload: '{"c":1}' },
    ],
  )
})

t.test('the same process asks for retained plans once, as long as its session stands', { skip }, async t => {
  const dir = t.testdir()
  const first = await startMosquitto(dir, { persistence: true })
  const probe = await openProbe(first.url)
  t.teardown(() => probe.close())
  await probe.publish('edges/edge-01/plans/a', '{}')
  const { link, plans } = makeLink({ url: first.url })
  t.teardown(() => link.stop())
  await link.start()
  await until('the plan', () => plans.received.length === 1)

  await first.stop()
  await until('the loss', () => !link.status.connected)
  const second = await startMosquitto(dir, { persistence: true, port: first.port })
  await until('the second connection', () => link.status.connected)
  await probe.publish('edges/edge-01/plans/b', '{}')
  await until('the next plan', () => plans.received.length === 2)
  t.same(
    plans.received.map(plan => plan.name),
    ['a', 'b'],
    'the first is not sent again',
  )

  await second.stop()
  await until('the second loss', () => !link.status.connected)
  const empty = await startMosquitto(join(dir, 'empty'), { port: first.port })
  t.teardown(() => empty.stop())
  await until('the third connection', () => link.status.connected)
  await until('the probe', () => probe.client.connected)
  await probe.publish('edges/edge-01/plans/c', '{}')
  await until('a plan from the broker that lost everything', () => plans.received.length === 3)
})

t.test(
  'killed before it stored: no PUBACK went out, the plan comes again, the last will is sent',
  { skip },
  async t => {
    const broker = await startMosquitto(t.testdir())
    t.teardown(() => broker.stop())
    const probe = await openProbe(broker.url)
    t.teardown(() => probe.close())
    const child = startChild(broker.url, 'die')
    const exited = once(child, 'exit')
    await until('the child', () => probe.payloads('state').length > 0)
    await probe.publish('edges/edge-01/plans/a', '{"a":1}', false)
    const [, signal] = await exited
    t.equal(signal, 'SIGKILL')
    await until('the last will', () => probe.payloads('state').length === 2)
    t.same(JSON.parse(probe.payloads('state')[1] ?? ''), { edge: 'edge-01', online: false })

    const { link, plans } = makeLink({ url: broker.url })
    t.teardown(() => link.stop())
    await link.start()
    await until('the plan', () => plans.received.length === 1)
    t.match(plans.received[0], { name: 'a', payload: '{"a":1}' })
  },
)

t.test('a plan that can not be stored comes again, one that was stored does not', { skip }, async t => {
  const broker = await startMosquitto(t.testdir())
  t.teardown(() => broker.stop())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const { link, plans } = makeLink({ url: broker.url })
  t.teardown(() => link.stop())
  await link.start()
  await until('the state', () => probe.payloads('state').length === 1)
  plans.failure = new Error('disk full')
  await probe.publish('edges/edge-01/plans/a', '{}', false)
  await until('some tries', () => plans.refusals >= 3)
  t.match(link.status.lastError, /disk full/)
  plans.failure = undefined
  await until('the plan', () => plans.received.length === 1)
  await link.stop()
  await probe.publish('edges/edge-01/plans/b', '{}', false)
  const next = makeLink({ url: broker.url })
  t.teardown(() => next.link.stop())
  await next.link.start()
  await until('the next plan', () => next.plans.received.length > 0)
  t.same(
    next.plans.received.map(plan => plan.name),
    ['b'],
  )
})

t.test('a broker that is away: every status arrives afterwards, in order', { skip }, async t => {
  const dir = t.testdir()
  const first = await startMosquitto(dir)
  const { link, plans, outbox } = makeLink({ url: first.url })
  t.teardown(() => link.stop())
  await link.start()
  await until('the connection', () => link.status.connected)
  for (let i = 0; i < 100; i += 1) outbox.add(`plan-${i % 3}`)
  plans.events.emit('outbox')
  await until('some', () => outbox.acknowledgements.length > 0)
  await first.stop()
  for (let i = 0; i < 100; i += 1) outbox.add(`plan-${i % 3}`)
  plans.events.emit('outbox')
  await until('the loss', () => !link.status.connected)
  const told = Math.max(...outbox.acknowledgements)
  const second = await startMosquitto(dir, { port: first.port })
  t.teardown(() => second.stop())
  const probe = await openProbe(second.url)
  t.teardown(() => probe.close())
  await until('the rest', () => outbox.rows.length === 0)
  t.same(
    outbox.acknowledgements,
    Array.from({ length: 200 }, (_, i) => i + 1),
    'each once, in order',
  )
  const seen = probe.seen
    .filter(one => !one.retain && one.topic.endsWith('/status'))
    .map(one => Number(JSON.parse(one.payload).seq))
  t.same(
    seen,
    seen.toSorted((a, b) => a - b),
    'in order',
  )
  t.ok(told < 200)
})

t.test('TLS with a private CA and client certificates', { skip: skipTls }, async t => {
  const dir = t.testdir({ broker: {} })
  const tls = await makeCertificates(join(dir, 'certificates'))
  const broker = await startMosquitto(join(dir, 'broker'), { tls, clientCertificates: true })
  t.teardown(() => broker.stop())
  const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = tls
  const cases = [
    { certFile, keyFile, words: /set `mqtt\.caFile`/ },
    { caFile, words: /wants one; check `mqtt\.certFile`|cut the connection|closed the connection/ },
    { caFile, certFile, keyFile, words: /^$/ },
  ]
  for (const { words, ...files } of cases) {
    const { link } = makeLink({ url: broker.url, ...files })
    await link.start()
    await until('an outcome', () => link.status.connected || link.status.lastError !== null)
    t.match(link.status.lastError ?? '', words)
    await link.stop()
  }
})

t.test('passwords: right, wrong, and over TLS', { skip: skipTls }, async t => {
  const dir = t.testdir({ broker: {} })
  const login = { username: 'edge-01', password: 'secret' }
  const tls = await makeCertificates(join(dir, 'certificates'))
  const broker = await startMosquitto(join(dir, 'broker'), { login, tls })
  t.teardown(() => broker.stop())
  const wrong = makeLink({ url: broker.url, caFile: tls.caFile, username: 'edge-01', password: 'wrong' })
  t.teardown(() => wrong.link.stop())
  await wrong.link.start()
  await until('the refusal', () => wrong.link.status.lastError !== null)
  t.match(wrong.link.status.lastError, /check `mqtt\.username`/)
  const right = makeLink({ url: broker.url, caFile: tls.caFile, ...login })
  t.teardown(() => right.link.stop())
  const probe = await openProbe(broker.url, { ca: await readFile(tls.caFile), ...login })
  t.teardown(() => probe.close())
  await probe.publish('edges/edge-01/plans/a', '{}')
  await right.link.start()
  await until('the plan', () => right.plans.received.length === 1)
})

t.test('statuses that the broker refuses are kept, and sent once it takes them', { skip }, async t => {
  const dir = t.testdir()
  const aclFile = join(dir, 'acl')
  const rules = 'topic read mecm/v1/#\ntopic write mecm/v1/edges/edge-01/state\n'
  await writeFile(aclFile, rules, { mode: 0o600 })
  const broker = await startMosquitto(dir, { aclFile })
  t.teardown(() => broker.stop())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  const { link, outbox, lines } = makeLink({ url: broker.url })
  t.teardown(() => link.stop())
  outbox.add('a')
  outbox.add('a')
  let looks = 0
  const next = outbox.next.bind(outbox)
  outbox.next = limit => {
    looks += 1
    return next(limit)
  }
  await link.start()
  await until('the refusal', () => /does not let us publish/.test(link.status.lastError ?? ''))
  t.equal(link.status.connected, true, 'the connection stands')
  await delay(500)
  t.ok(looks < 60, `tried ${looks} times in half a second, with delays up to 100 ms`)
  t.equal(outbox.rows.length, 2, 'kept')
  t.equal(lines.filter(line => /does not let us publish/.test(line.msg)).length, 1, 'logged once')
  await writeFile(aclFile, `${rules}topic readwrite mecm/v1/#\n`, { mode: 0o600 })
  process.kill(broker.pid, 'SIGHUP')
  await until('the statuses', () => outbox.rows.length === 0)
  t.same(
    probe.payloads('plans/a/status').map(text => JSON.parse(text).seq),
    [1, 2],
  )
  t.equal(link.status.lastError, null)
})

t.test(
  'a plan that is too large reaches the intake, which can answer it; one beyond all limits harms nobody',
  { skip },
  async t => {
    const broker = await startMosquitto(t.testdir())
    t.teardown(() => broker.stop())
    const probe = await openProbe(broker.url)
    t.teardown(() => probe.close())
    await probe.publish('edges/edge-01/plans/huge', 'x'.repeat(9 * 1024 * 1024))
    await probe.publish('edges/edge-01/plans/large', 'x'.repeat(2 * 1024 * 1024))
    const { link, plans } = makeLink({ url: broker.url })
    t.teardown(() => link.stop())
    await link.start()
    await until('the large one', () => plans.received.length === 1)
    t.match(plans.received[0], { name: 'large' })
    await probe.publish('edges/edge-01/plans/small', 'x')
    await until('the small one', () => plans.received.length === 2)
    t.match(link.status, { connected: true, lastError: null })
  },
)

t.test('a new state folder takes up the sequence, with MQTT 5', { skip }, async t => {
  const broker = await startMosquitto(t.testdir())
  t.teardown(() => broker.stop())
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  for (let i = 1; i <= 50; i += 1) await probe.publish(`edges/edge-01/plans/p${i}/status`, `{"seq":${i * 3}}`)
  const { link, outbox } = makeLink({ url: broker.url, freshState: true })
  t.teardown(() => link.stop())
  await link.start()
  await until('the connection', () => link.status.connected)
  t.equal(outbox.continued, 150)
})

t.test('a broker that takes one message at a time and only small ones', { skip }, async t => {
  const broker = await startMosquitto(t.testdir(), { limits: { max_inflight_messages: 1, max_packet_size: 2000 } })
  t.teardown(() => broker.stop())
  const { link, outbox } = makeLink({ url: broker.url })
  t.teardown(() => link.stop())
  for (let i = 0; i < 40; i += 1) outbox.add('a')
  const images = Array.from({ length: 50 }, (_, at) => ({ target: `mecm/web:${at}`, phase: 'Ready' }))
  const payload = JSON.stringify({ plan: 'c', seq: 1, phase: 'Ready', message: null, images })
  outbox.rows.push({ seq: 41, topic: 'plans/c/status', payload, retain: true })
  outbox.rows.push({ seq: 42, topic: 'plans/b/status', payload: 'x'.repeat(3000), retain: true })
  await link.start()
  await until(
    'the large one is left',
    () => outbox.rows.length === 1 && /of this size/.test(link.status.lastError ?? ''),
  )
  t.equal(link.status.connected, true, 'the connection stands')
  const probe = await openProbe(broker.url)
  t.teardown(() => probe.close())
  await until('the one with many images', () => probe.payloads('plans/c/status').length === 1)
  t.match(JSON.parse(probe.payloads('plans/c/status')[0] ?? ''), { phase: 'Ready', message: /50 images/, images: [] })
})
