/** The API on a real port: events as they happen, and what happens to clients that are slow or many. */
import { EventEmitter, once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { request } from 'undici'
import { EventStreams } from '../../../src/http/api/event-streams.ts'
import { ApiServer } from '../../../src/http/api/server.ts'
import type { PlanEvents } from '../../../src/plans/plans.ts'
import { agentFacts, FakePlans, openDoor, planStatus } from '../../fixtures/agent-facts.ts'

const logger = pino({ level: 'silent' })

async function start(t: { teardown(fn: () => unknown): void }) {
  const plans = new FakePlans()
  const server = new ApiServer({ listen: '127.0.0.1:0', facts: agentFacts(), plans, ...openDoor(), logger })
  await server.start()
  t.teardown(() => server.stop())
  return { plans, server, url: `http://${server.address}` }
}

/** Reads from a stream of text until it holds `wanted`, for five seconds at most. */
async function readUntil(body: AsyncIterator<Buffer>, wanted: string): Promise<string> {
  let text = ''
  const late = delay(5000, undefined, { ref: false })
  while (!text.includes(wanted)) {
    const next = await Promise.race([body.next(), late])
    if (next === undefined || next.done) throw new Error(`the stream has no "${wanted}": ${text}`)
    text += next.value.toString()
  }
  return text
}

t.test('statuses and progress come as they happen, and the stream ends with the server', async t => {
  const { plans, server, url } = await start(t)
  const { headers, body } = await request(`${url}/v1/events`)
  t.equal(headers['content-type'], 'text/event-stream')
  const stream: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  await readUntil(stream, 'retry: 3000\n\n')
  const status = planStatus('shop', 'Fetching', 41)
  plans.events.emit('status', status)
  t.equal(await readUntil(stream, '\n\n'), `event: status\nid: 41\ndata: ${JSON.stringify(status)}\n\n`)
  const bytes = { done: 1, fetched: 1, resumed: 0 }
  const facts = { plan: 'shop', revision: 1, edge: 'edge-01', at: status.at, phase: status.phase }
  plans.events.emit('progress', { ...facts, bytesMissing: 10, bytes, rate: 5, secondsLeft: 2 })
  t.match(await readUntil(stream, '\n\n'), /^event: progress\ndata: \{.*"rate":5.*\}\n\n$/)
  await server.stop()
  t.equal((await stream.next()).done, true)
  t.equal(plans.events.listenerCount('status'), 0)
})

t.test('a client that does not read is dropped, the others go on', async t => {
  const events = new EventEmitter<PlanEvents>()
  const streams = new EventStreams({ events, logger, heartbeatMs: 10, maxWaitingBytes: 100_000, maxClients: 2 })
  streams.start()
  const server = createHttpServer((_request, response) => {
    if (!streams.add(response)) response.writeHead(503).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    streams.stop()
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const good = await request(`http://127.0.0.1:${port}/`)
  const reading = readUntil(good.body[Symbol.asyncIterator](), '"plan":"last"')
  const slow = connect(port, '127.0.0.1').on('error', () => {})
  slow.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(slow, 'data')
  slow.pause()
  t.equal(streams.size, 2)
  t.equal((await request(`http://127.0.0.1:${port}/`)).statusCode, 503, 'a third is one too many')
  const large = { ...planStatus('large'), message: 'x'.repeat(50_000) }
  for (let count = 0; streams.size === 2 && count < 1000; count += 1) {
    events.emit('status', large)
    await delay(1)
  }
  t.equal(streams.size, 1)
  events.emit('status', planStatus('last'))
  t.match(await reading, /: still here/, 'with a heartbeat between')
  slow.destroy()
})

t.test('a port in use is an error that names address and key', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const address = taken.address()
  const listen = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  const server = new ApiServer({ listen, facts: agentFacts(), plans: new FakePlans(), ...openDoor(), logger })
  await t.rejects(server.start(), {
    code: 'ADDRESS_IN_USE',
    key: 'api.listen',
    message: new RegExp(`${listen}.*api\\.listen`),
  })
})
