/** The registry on a real port: what a request injected in process can't show. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { Agent, request } from 'undici'
import { RegistryServer } from '../../../src/http/registry/server.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { MemoryContent } from '../../fixtures/memory-content.ts'
import { lacking } from '../../fixtures/programs.ts'
import { makeCertificates } from '../../fixtures/real-servers.ts'

const logger = pino({ level: 'silent' })
type Tap = { teardown(fn: () => unknown): void }

async function start(t: Tap, bytes: Buffer) {
  const store = new MemoryContent()
  const digest = digestOf(bytes)
  store.addBlob('web', digest, bytes)
  const server = new RegistryServer({ store, listen: '127.0.0.1:0', graceMs: 200, logger })
  await server.start()
  t.teardown(() => server.stop())
  const dispatcher = new Agent()
  t.teardown(() => dispatcher.destroy())
  return { store, digest, server, dispatcher, url: `http://${server.address}/v2/web/blobs/${digest}` }
}

/** Waits, for five seconds at most, until something holds. */
async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 5000; !holds(); await delay(5)) if (Date.now() > end) throw new Error('waited in vain')
}

t.test('a large blob comes whole to several readers at once, and its files are closed', async t => {
  const bytes = Buffer.alloc(5_000_001, 'some content that repeats')
  const { store, url, server, dispatcher } = await start(t, bytes)
  const bodies = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const { body } = await request(url, { dispatcher })
      return digestOf(new Uint8Array(await body.arrayBuffer()))
    }),
  )
  t.same(new Set(bodies), new Set([digestOf(bytes)]))
  await until(() => store.openNow === 0)
  t.equal(server.traffic.servedBytes, 40 * bytes.length)
})

t.test('a reader that goes away in the middle frees the file', async t => {
  const bytes = Buffer.alloc(50_000_000)
  const { store, server, digest } = await start(t, bytes)
  const { port } = new URL(`http://${server.address}`)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(`GET /v2/web/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  t.equal(store.openNow, 1)
  socket.destroy()
  await until(() => store.openNow === 0)
  t.ok(server.traffic.servedBytes < bytes.length, 'a reader that does not read is not sent everything')
})

t.test('a file that is too short cuts the connection: nobody takes the part for the whole', async t => {
  const bytes = Buffer.alloc(3_000_000)
  const { store, url, digest, dispatcher } = await start(t, bytes)
  store.content.openBlob = (open => async (of: typeof digest) => {
    const blob = await open(of)
    store.damage(digest, 1_000_000)
    return (
      blob && { ...blob, read: async (buffer: Uint8Array, at: number) => (at > 1_000_000 ? 0 : blob.read(buffer, at)) }
    )
  })(store.content.openBlob)
  const { statusCode, body } = await request(url, { dispatcher })
  t.equal(statusCode, 200)
  await t.rejects(body.arrayBuffer())
  await until(() => store.openNow === 0)
})

t.test('a file that is read in small pieces comes whole', async t => {
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251))
  const { store, url, dispatcher } = await start(t, bytes)
  store.content.openBlob = (open => async (of: ReturnType<typeof digestOf>) => {
    const blob = await open(of)
    return blob && { ...blob, read: (buffer: Uint8Array, at: number) => blob.read(buffer.subarray(0, 777), at) }
  })(store.content.openBlob)
  const { body } = await request(url, { dispatcher })
  t.ok(bytes.equals(new Uint8Array(await body.arrayBuffer())))
})

t.test('HEAD and a refused write on a kept connection', async t => {
  const { url, dispatcher } = await start(t, Buffer.from('0123456789'))
  const head = await request(url, { method: 'HEAD', dispatcher })
  await head.body.dump()
  t.equal(head.headers['content-length'], '10')
  const put = await request(url, { method: 'PUT', body: Buffer.alloc(100_000), dispatcher })
  t.equal(put.statusCode, 405)
  t.match(await put.body.json(), { errors: [{ code: 'UNSUPPORTED' }] })
  const get = await request(url, { dispatcher })
  t.equal(await get.body.text(), '0123456789')
})

t.test('stop finishes although a reader has gone to sleep', async t => {
  const { server, digest, store } = await start(t, Buffer.alloc(50_000_000))
  const { port } = new URL(`http://${server.address}`)
  const socket = connect(Number(port), '127.0.0.1').on('error', () => {})
  socket.write(`GET /v2/web/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  await server.stop()
  t.equal(server.address, '')
  await until(() => store.openNow === 0)
  socket.destroy()
  await server.stop()
  t.pass('stopping twice does no harm')
})

t.test('an address that can not be had is an error that names it and its key', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const address = taken.address()
  const listen = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  const server = (where: string) => new RegistryServer({ store: new MemoryContent(), listen: where, logger })
  await t.rejects(server(listen).start(), {
    name: 'ListenError',
    code: 'ADDRESS_IN_USE',
    address: listen,
    key: 'registry.embedded.listen',
    message: new RegExp(`${listen}.*registry\\.embedded\\.listen`),
  })
  await t.rejects(server('192.0.2.1:5000').start(), { code: 'NO_SUCH_ADDRESS' })
  await t.rejects(server('5000').start(), { code: 'FAILED', key: 'registry.embedded.listen' })
})

t.test('https', { skip: lacking('openssl') }, async t => {
  const tls = await makeCertificates(t.testdir())
  const server = new RegistryServer({ store: new MemoryContent(), listen: '127.0.0.1:0', tls, logger })
  await server.start()
  t.teardown(() => server.stop())
  const dispatcher = new Agent({ connect: { ca: await readFile(tls.caFile) } })
  t.teardown(() => dispatcher.close())
  const { statusCode, body } = await request(`https://${server.address}/v2/`, { dispatcher })
  await body.dump()
  t.equal(statusCode, 200)

  const missing = { certFile: '/nowhere/cert.pem', keyFile: tls.keyFile }
  const broken = new RegistryServer({ store: new MemoryContent(), listen: '127.0.0.1:0', tls: missing, logger })
  await t.rejects(broken.start(), { code: 'TLS_FILES', key: 'registry.embedded.tls', message: /nowhere\/cert\.pem/ })
})

t.test('what is no request is answered in the form of the specification, and its connection ends', async t => {
  const { server } = await start(t, Buffer.from('x'))
  const { port } = new URL(`http://${server.address}`)
  const cases: [string, number][] = [
    ['\x16\x03\x01 what TLS begins with', 400],
    ['FETCH /v2/ HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['GET /v2/ HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n', 400],
    ['GET /v2/ HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    [`GET /v2/ HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ]
  for (const [request, status] of cases) {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(request)
    const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
    t.match(head, new RegExp(`^HTTP/1.1 ${status} `), request.slice(0, 30))
    t.match(head, `content-length: ${body.length}`)
    t.match(JSON.parse(body), { errors: [{ code: 'UNSUPPORTED', message: String, detail: Object }] })
  }
})
