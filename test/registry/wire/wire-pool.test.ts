import { readFileSync } from 'node:fs'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { lacking } from '../../fixtures/programs.ts'
import { makeCertificates } from '../../fixtures/real-servers.ts'
import { type Answerer, hello, startRig, textOf } from '../../fixtures/wire-rig.ts'

t.test('one connection serves one request after the other', async t => {
  const { get, sockets, requests, port } = await startRig(t, (socket, request) => {
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
  const { get } = await startRig(t, socket =>
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
  const { get } = await startRig(
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
    const { get, sockets } = await startRig(t, answer)
    for (let time = 1; time <= 3; time++) t.equal(await textOf(await get()), 'hello', name)
    t.equal(sockets.length, 3, name)
  }
})

t.test('a body that is left, or longer than what is read away, costs its connection', async t => {
  const long = `HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`
  const { get, sockets } = await startRig(t, socket => socket.write(long))
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
  const { get } = await startRig(t, (socket, request) => {
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
  const { get, sockets } = await startRig(t, (socket, request) => {
    if (request === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello')
  })
  await t.rejects(get({ stallTimeoutMs: 50 }), { code: 'WIRE_ANSWER_TIMEOUT' })
  await t.rejects(textOf(await get({ stallTimeoutMs: 50 })), { code: 'WIRE_STALLED' })
  t.equal(sockets.length, 2)
})

t.test('a reader that takes its time is no silence', async t => {
  const { get } = await startRig(t, socket =>
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
  const silent = await startRig(t, () => {}, { connectionsPerOrigin: 1 })
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
  const begun = await startRig(t, socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello'))
  const reads = new AbortController()
  const { body } = await begun.get({ signal: reads.signal })
  const parts = body[Symbol.asyncIterator]()
  t.equal((await parts.next()).value?.byteLength, 5)
  const next = parts.next()
  reads.abort(new Error('read'))
  await t.rejects(next, { message: 'read' })
})

t.test('over TLS', { skip: lacking('openssl') }, async t => {
  const files = await makeCertificates(t.testdir())
  const server = createTlsServer({ cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) })
  const secureContext = createSecureContext({ ca: readFileSync(files.caFile) })
  const text = 'x'.repeat(1_000_000)
  const resumed: boolean[] = []
  const { get, sockets } = await startRig(
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
