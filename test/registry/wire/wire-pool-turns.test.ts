/** Who gets a connection, which are kept, and what closing does. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { type Answerer, hello, startRig, textOf, unending } from '../../fixtures/wire-rig.ts'

t.test('so many connections at once, then in line', async t => {
  const held: Socket[] = []
  const { get, sockets } = await startRig(t, socket => held.push(socket), { connectionsPerOrigin: 2 })
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
  const { pool } = await startRig(t, hello, { connectionsPerOrigin: 1 })
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
  const { get, sockets } = await startRig(t, hello)
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
  const { get, sockets } = await startRig(t, (socket, request) => {
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
  const { get, pool } = await startRig(t, () => {}, { connectionsPerOrigin: 1 })
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
  const { pool } = await startRig(t, hello)
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
    const { get } = await startRig(t, answer, { connectionsPerOrigin: 1, keepAliveMs: 600_000 })
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
