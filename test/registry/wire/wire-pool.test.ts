import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { WirePool, type WirePoolOptions, type WireResponse } from '../../../src/registry/wire/wire-pool.ts'
import { lacking } from '../../fixtures/programs.ts'
import { makeCertificates } from '../../fixtures/real-servers.ts'

interface Rig {
  readonly pool: WirePool
  readonly port: number
  /** All connections that were made, in order. */
  readonly sockets: readonly Socket[]
  /** The heads of all requests that came, in order. */
  readonly requests: readonly string[]
  get(options?: {
    target?: string
    method?: 'GET' | 'HEAD'
    signal?: AbortSignal
    stallTimeoutMs?: number
  }): Promise<WireResponse>
}

type Answerer = (socket: Socket, request: number) => void

const unending = new AbortController().signal

/** A server that answers each request as told, and a pool that asks it. */
async function rig(t: Test, answer: Answerer, options: Partial<WirePoolOptions> = {}, server?: Server): Promise<Rig> {
  const sockets: Socket[] = []
  const requests: string[] = []
  const listening = server ?? createServer()
  listening.on(server ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.push(socket)
    let text = ''
    socket.on('error', () => {})
    socket.on('data', bytes => {
      text += bytes
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        requests.push(text.slice(0, end))
        text = text.slice(end + 4)
        answer(socket, requests.length)
      }
    })
  })
  listening.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const { port } = listening.address() as AddressInfo
  const pool = new WirePool({
    connectionsPerOrigin: 4,
    connectTimeoutMs: 5_000,
    keepAliveMs: 5_000,
    maxKeepAliveMs: 60_000,
    rejectUnauthorized: true,
    mostAtOnce: () => Number.POSITIVE_INFINITY,
    ...options,
  })
  t.teardown(() => {
    pool.close()
    for (const socket of sockets) socket.destroy()
    listening.close()
  })
  const get: Rig['get'] = ({ target = '/', method = 'GET', signal = unending, stallTimeoutMs = 10_000 } = {}) => {
    const origin = new URL(`${server ? 'https' : 'http'}://127.0.0.1:${port}`)
    return pool.request({
      origin,
      method,
      target,
      headers: { 'x-test': '1' },
      answerTimeoutMs: stallTimeoutMs,
      stallTimeoutMs,
      signal,
    })
  }
  return { pool, port, sockets, requests, get }
}

async function textOf({ body }: Pick<WireResponse, 'body'>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(Uint8Array.from(part))
  return Buffer.concat(parts).toString('latin1')
}

const hello: Answerer = socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')

t.test('one connection serves one request after the other', async t => {
  const { get, sockets, requests, port } = await rig(t, (socket, request) => {
    if (request === 2) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n')
    else if (request === 3) socket.write('HTTP/1.1 204 No Content\r\n\r\n')
    else if (request === 4) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
    else if (request === 5)
      socket.write('HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno')
    else hello(socket, request)
  })
  t.equal(await textOf(await get({ target: '/a?b=c' })), 'hello')
  t.equal(requests[0], `GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nx-test: 1`)
  t.equal(await textOf(await get()), 'abc')
  t.equal((await get()).status, 204)
  t.match(await get({ method: 'HEAD' }), { status: 200, headers: { 'content-length': '5' } })
  const missing = await get()
  t.equal(missing.status, 404)
  t.equal(await textOf(missing), 'no')
  const dumped = await get()
  await dumped.body.dump({ limit: 5 })
  t.equal(await textOf(await get()), 'hello')
  t.equal(sockets.length, 1)
})

t.test('a part is good until the next is asked for, whatever comes meanwhile', async t => {
  const text = Array.from({ length: 300_000 }, (_, at) => String.fromCharCode(97 + (at % 26))).join('')
  const { get } = await rig(t, socket =>
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`),
  )
  const { body } = await get()
  let at = 0
  for await (const part of body) {
    const before = Buffer.from(part)
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
    t.ok(before.equals(part))
    t.equal(before.toString('latin1'), text.slice(at, at + part.byteLength))
    at += part.byteLength
  }
  t.equal(at, text.length)
})

t.test('a read takes no more than it may, by what holds at the time', async t => {
  const text = 'x'.repeat(400_000)
  let most = 3_000
  const { get } = await rig(
    t,
    socket => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`),
    { mostAtOnce: () => most },
  )
  const sizes: number[] = []
  const { body } = await get()
  for await (const part of body) {
    sizes.push(part.byteLength)
    if (sizes.length === 50) most = Number.POSITIVE_INFINITY
  }
  t.ok(Math.max(...sizes.slice(0, 50)) <= 3_000)
  t.ok(Math.max(...sizes.slice(50)) > 3_000)
  t.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    text.length,
  )
})

t.test('connections that are not used again', async t => {
  const ways: { readonly [name: string]: Answerer } = {
    'it says so': socket => socket.write('HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\nhello'),
    'HTTP/1.0': socket => socket.write('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'),
    'it keeps none': socket =>
      socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 5\r\n\r\nhello'),
    'more than an answer': socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!'),
    'an answer that ends with it': socket => socket.end('HTTP/1.1 200 OK\r\n\r\nhello'),
  }
  for (const [name, answer] of Object.entries(ways)) {
    const { get, sockets } = await rig(t, answer)
    for (let time = 1; time <= 3; time++) t.equal(await textOf(await get()), 'hello', name)
    t.equal(sockets.length, 3, name)
  }
})

t.test('a body that is left, or longer than what is read away, costs its connection', async t => {
  const long = `HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`
  const { get, sockets } = await rig(t, socket => socket.write(long))
  for await (const part of (await get()).body) {
    t.ok(part.byteLength > 0)
    break
  }
  await (await get()).body.dump({ limit: 99_999 })
  ;(await get()).body.destroy()
  t.equal((await textOf(await get())).length, 100_000)
  t.equal((await textOf(await get())).length, 100_000)
  t.equal(sockets.length, 4)
})

t.test('a body that breaks off', async t => {
  const { get } = await rig(t, (socket, request) => {
    if (request === 1) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello')
    else if (request === 2) socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    else if (request === 3) socket.end('HTTP/1.1 200 OK\r\nContent-')
    else socket.end()
  })
  const early = { code: 'WIRE_CLOSED' }
  await t.rejects(textOf(await get()), early)
  await t.rejects(textOf(await get()), early)
  await t.rejects(get(), early)
  await t.rejects(get(), early)
})

t.test('silence: before the answer, and in the middle of it', async t => {
  const { get, sockets } = await rig(t, (socket, request) => {
    if (request === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello')
  })
  await t.rejects(get({ stallTimeoutMs: 50 }), { code: 'WIRE_ANSWER_TIMEOUT' })
  await t.rejects(textOf(await get({ stallTimeoutMs: 50 })), { code: 'WIRE_STALLED' })
  t.equal(sockets.length, 2)
})

t.test('a reader that takes its time is no silence', async t => {
  const { get } = await rig(t, socket =>
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n${'x'.repeat(600_000)}`),
  )
  const { body } = await get({ stallTimeoutMs: 50 })
  let size = 0
  for await (const part of body) {
    if (size === 0) await new Promise(resolve => setTimeout(resolve, 150))
    size += part.byteLength
  }
  t.equal(size, 600_000)
})

t.test('an abort ends a request wherever it is, with its reason', async t => {
  const silent = await rig(t, () => {}, { connectionsPerOrigin: 1 })
  await t.rejects(silent.get({ signal: AbortSignal.abort(new Error('before')) }), { message: 'before' })
  t.equal(silent.sockets.length, 0)
  const [asks, waits] = [new AbortController(), new AbortController()]
  const asking = silent.get({ signal: asks.signal })
  const waiting = silent.get({ signal: waits.signal })
  waits.abort(new Error('in line'))
  await t.rejects(waiting, { message: 'in line' })
  while (silent.requests.length === 0) await new Promise(setImmediate)
  asks.abort(new Error('asked'))
  await t.rejects(asking, { message: 'asked' })
  const begun = await rig(t, socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello'))
  const reads = new AbortController()
  const { body } = await begun.get({ signal: reads.signal })
  const parts = body[Symbol.asyncIterator]()
  t.equal((await parts.next()).value?.byteLength, 5)
  const next = parts.next()
  reads.abort(new Error('read'))
  await t.rejects(next, { message: 'read' })
})

t.test('so many connections at once, then in line', async t => {
  const held: Socket[] = []
  const { get, sockets } = await rig(t, socket => held.push(socket), { connectionsPerOrigin: 2 })
  const all = Array.from({ length: 6 }, async () => await textOf(await get()))
  for (let answered = 0; answered < 6; ) {
    const socket = held.shift()
    if (socket === undefined) await new Promise(setImmediate)
    else {
      hello(socket, 0)
      answered++
    }
  }
  t.same(
    await Promise.all(all),
    Array.from({ length: 6 }, () => 'hello'),
  )
  t.equal(sockets.length, 2)
})

t.test('one that waits in line gets the place of one that could not connect', async t => {
  const { pool } = await rig(t, hello, { connectionsPerOrigin: 1 })
  const origin = new URL('http://127.0.0.1:1')
  const request = {
    origin,
    method: 'GET',
    target: '/',
    headers: {},
    answerTimeoutMs: 1000,
    stallTimeoutMs: 1000,
    signal: unending,
  } as const
  const both = [pool.request(request), pool.request(request)]
  for (const each of both) await t.rejects(each, { code: 'ECONNREFUSED' })
})

t.test('what the other side closed while nobody looked is not asked', async t => {
  const { get, sockets } = await rig(t, hello)
  await textOf(await get())
  const [first] = sockets
  first?.end()
  if (first && !first.closed) await once(first, 'close')
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  t.equal(await textOf(await get()), 'hello')
  t.equal(sockets.length, 2)
})

t.test('after one that was forgotten, no other old one is tried', async t => {
  const seen = new Map<Socket, number>()
  const { get, sockets } = await rig(t, (socket, request) => {
    const times = (seen.get(socket) ?? 0) + 1
    seen.set(socket, times)
    if (times === 1) hello(socket, request)
    else socket.destroy()
  })
  await Promise.all([get(), get(), get()].map(async answer => textOf(await answer)))
  t.equal(sockets.length, 3)
  await t.rejects(get())
  t.equal(await textOf(await get()), 'hello')
  t.equal(sockets.length, 4)
})

t.test('closing ends what is under way, and what waits', async t => {
  const { get, pool } = await rig(t, () => {}, { connectionsPerOrigin: 1 })
  const waiting = [get(), get()]
  const all = Promise.allSettled(waiting)
  pool.close()
  for (const each of await all) t.match(each, { status: 'rejected', reason: { code: 'WIRE_CLOSED' } })
  await t.rejects(get(), { code: 'WIRE_CLOSED' })
})

t.test('closing ends a connection that is being opened', async t => {
  const silent = createServer(socket => void socket.on('error', () => {}).resume())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { pool } = await rig(t, hello)
  const asking = pool.request({
    origin: new URL(`https://127.0.0.1:${(silent.address() as AddressInfo).port}`),
    method: 'GET',
    target: '/',
    headers: {},
    answerTimeoutMs: 60_000,
    stallTimeoutMs: 60_000,
    signal: unending,
  })
  const [met] = await Promise.all([
    asking.catch((error: unknown) => error),
    once(silent, 'connection').then(() => pool.close()),
  ])
  t.match(met, { code: 'WIRE_CLOSED' })
  silent.close()
})

t.test('one that leaves when its turn has come hands it on', async t => {
  // Its turn comes some microtasks after the body's end; one of these moments is between being woken and going on.
  for (let moment = 0; moment < 8; moment++) {
    const held: Socket[] = []
    const answer: Answerer = (socket, request) =>
      request === 1 ? held.push(socket) : socket.write('HTTP/1.1 204 No Content\r\n\r\n')
    const { get } = await rig(t, answer, { connectionsPerOrigin: 1, keepAliveMs: 600_000 })
    const leaving = new AbortController()
    const [first, second, third] = [get(), get({ signal: leaving.signal }), get()]
    const left = t.rejects(second, { message: 'left' })
    while (held.length === 0) await new Promise(setImmediate)
    held[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
    const parts = (await first).body[Symbol.asyncIterator]()
    await parts.next()
    const last = parts.next()
    for (let passed = 0; passed < moment; passed++) await Promise.resolve()
    leaving.abort(new Error('left'))
    await Promise.all([last, left])
    t.match(await third, { status: 204 })
  }
})

t.test('over TLS', { skip: lacking('openssl') }, async t => {
  const files = await makeCertificates(t.testdir())
  const server = createTlsServer({ cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) })
  const secureContext = createSecureContext({ ca: readFileSync(files.caFile) })
  const text = 'x'.repeat(1_000_000)
  const resumed: boolean[] = []
  const { get, sockets } = await rig(
    t,
    (socket, request) => {
      if ('isSessionReused' in socket && typeof socket.isSessionReused === 'function')
        resumed.push(socket.isSessionReused())
      const close = request === 2 ? 'Connection: close\r\n' : ''
      socket.write(`HTTP/1.1 200 OK\r\n${close}Content-Length: ${text.length}\r\n\r\n${text}`)
    },
    { secureContext },
    server,
  )
  for (let time = 1; time <= 3; time++) t.equal(await textOf(await get()), text)
  const { body } = await get()
  for await (const part of body) {
    const before = Buffer.from(part)
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
    t.ok(before.equals(part))
  }
  t.equal(sockets.length, 2)
  t.same(resumed, [false, false, true, true], 'the second connection goes on with the session of the first')
})
