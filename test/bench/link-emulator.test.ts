import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { LinkEmulator, type LinkOptions } from '../../bench/link-emulator.ts'

const KiB = 1024
const MiB = 1024 * KiB

/** A server that answers every request line with as many bytes as its path says, over a link. */
async function startLink(t: Test, options: Omit<LinkOptions, 'port'> = {}): Promise<LinkEmulator> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', data => {
      const size = /^GET \/(\d+) /.exec(data.toString('latin1'))?.[1]
      if (size !== undefined) socket.write(Buffer.alloc(Number(size), 7))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const link = new LinkEmulator({ port: (server.address() as AddressInfo).port, ...options })
  await link.start()
  t.teardown(async () => {
    await link.stop()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return link
}

interface Answer {
  readonly bytes: number
  readonly error: string | undefined
  readonly ms: number
  readonly firstMs: number
}

/** Asks for so many bytes over a connection of its own. Ends when they are here, or the connection is gone. */
async function ask(link: LinkEmulator, size: number): Promise<Answer> {
  const started = performance.now()
  const socket = connect(Number(link.host.split(':')[1]), '127.0.0.1')
  let bytes = 0
  let firstMs = 0
  let error: string | undefined
  socket.write(`GET /${size} HTTP/1.1\r\n\r\n`)
  socket.on('data', data => {
    if (bytes === 0) firstMs = performance.now() - started
    bytes += data.byteLength
    if (bytes >= size) socket.end()
  })
  socket.on('error', failure => {
    error = 'code' in failure ? String(failure.code) : failure.message
  })
  await new Promise(resolve => socket.once('close', resolve))
  return { bytes, error, ms: performance.now() - started, firstMs }
}

t.test("tells what has arrived from what its own machine's buffers still hold", async t => {
  const link = await startLink(t)
  const socket = connect(Number(link.host.split(':')[1]), '127.0.0.1')
  const size = 64 * MiB
  socket.write(`GET /${size} HTTP/1.1\r\n\r\n`)
  await once(socket, 'readable')
  // Nobody reads any more: buffers fill, and what they hold on the sender's side has not arrived.
  await link.reached(256 * KiB)
  const arrived = link.arrived()
  t.ok(arrived > 0 && arrived <= link.counts.bytesToClients, `${arrived} of ${link.counts.bytesToClients}`)
  socket.resume()
  await link.reached(size)
  while (link.arrived() < size) await sleep(5) // what was read may be acknowledged a moment later
  t.equal(link.arrived(), size)
  socket.destroy()
})

t.test('passes bytes both ways and counts them', async t => {
  const link = await startLink(t)
  const answers = await Promise.all([ask(link, 3 * MiB), ask(link, 10)])
  t.same(
    answers.map(answer => [answer.bytes, answer.error]),
    [
      [3 * MiB, undefined],
      [10, undefined],
    ],
  )
  const request = (size: number) => `GET /${size} HTTP/1.1\r\n\r\n`.length
  t.match(link.counts, {
    connections: 2,
    refused: 0,
    requests: 2,
    bytesToClients: 3 * MiB + 10,
    bytesToServer: request(3 * MiB) + request(10),
  })
})

t.test('holds the rate over all connections together', async t => {
  const link = await startLink(t, { rate: 40_000_000 })
  const started = performance.now()
  await Promise.all([ask(link, 500_000), ask(link, 500_000), ask(link, 500_000), ask(link, 500_000)])
  const seconds = (performance.now() - started) / 1000
  const rate = (2_000_000 * 8) / seconds
  t.ok(rate < 40_000_000 * 1.03, `${(rate / 1e6).toFixed(1)} of 40 Mbit/s`)
})

t.test('takes a round-trip time, once and not for every piece', async t => {
  const link = await startLink(t, { roundTripMs: 100 })
  const answer = await ask(link, 2 * MiB)
  t.equal(answer.bytes, 2 * MiB)
  t.ok(answer.firstMs >= 98, `the first byte after ${answer.firstMs.toFixed(0)} ms`)
  t.ok(answer.ms < 1500, `all ${2 * MiB} bytes after ${answer.ms.toFixed(0)} ms, in 128 pieces`)
})

t.test('resets every connection after so many bytes', async t => {
  const link = await startLink(t, { cutAfter: 100 * KiB, rate: 80_000_000 })
  const answers = [await ask(link, 300 * KiB), await ask(link, 300 * KiB), await ask(link, 50 * KiB)]
  t.same(
    answers.map(answer => answer.error),
    ['ECONNRESET', 'ECONNRESET', undefined],
  )
  t.equal(link.counts.bytesToClients, 250 * KiB)
  t.ok(answers.every(answer => answer.bytes <= 100 * KiB))
})

t.test('goes down at a byte count, and comes back', async t => {
  const link = await startLink(t, { outages: [{ atByte: 1 * MiB, forMs: 300 }], rate: 200_000_000 })
  const down = link.reached(1 * MiB)
  const both = Promise.all([ask(link, 2 * MiB), ask(link, 2 * MiB)])
  await down
  t.equal((await ask(link, 10)).error, 'ECONNRESET', 'no connection while it is down')
  t.same(
    (await both).map(answer => answer.error),
    ['ECONNRESET', 'ECONNRESET'],
  )
  let answer = await ask(link, 10)
  for (const end = Date.now() + 5000; answer.bytes < 10 && Date.now() < end; ) answer = await ask(link, 10)
  t.equal(answer.bytes, 10, 'it is up again')
  t.ok(link.counts.refused >= 1)
})

t.test('stalls at a byte count: nothing moves, nothing is lost', async t => {
  const link = await startLink(t, { stalls: [{ atByte: 1 * MiB, forMs: 250 }] })
  const answer = await ask(link, 2 * MiB)
  t.equal(answer.bytes, 2 * MiB)
  t.equal(answer.error, undefined)
  t.ok(answer.ms >= 250, `${answer.ms.toFixed(0)} ms`)
  t.equal(link.counts.connections, 1)
})

t.test('ends with its connections', async t => {
  const link = await startLink(t, { rate: 1_000_000 })
  const answer = ask(link, 10 * MiB)
  await link.reached(1)
  t.equal(link.open, 1)
  await link.stop()
  t.equal((await answer).error, 'ECONNRESET')
  t.equal(link.open, 0)
})
