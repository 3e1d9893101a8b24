import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { LinkEmulator } from '../../bench/link-emulator.ts'
import { lacking } from '../fixtures/programs.ts'
import { makeCertificates } from '../fixtures/real-servers.ts'
import { connect, fetchWhole, open, startFake, startPair, unending } from '../fixtures/registry-client.ts'

t.test('a connection that was closed meanwhile: asked once more at once; a fresh one is not', async t => {
  const { fake, registry } = await startPair(t)
  fake.putImage('mecm/web', '1', [])
  fake.fault({ kind: 'manifest' }, { do: 'reset' })
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAVAILABLE', host: fake.host })
  t.equal(fake.count(), 1)
  await registry.resolve('mecm/web', '1', unending)
  fake.fault({ kind: 'manifest' }, { do: 'reset' })
  await registry.resolve('mecm/web', '1', unending)
  t.equal(fake.count(), 4)
  fake.fault({ kind: 'manifest' }, { do: 'reset' }, 5)
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAVAILABLE' })
  t.equal(fake.count(), 6)
})

t.test('a HEAD leaves its connection to the next request', async t => {
  const fake = await startFake(t)
  fake.putImage('mecm/web', '1', [fake.putBlob('mecm/web', Buffer.alloc(100_000))])
  const link = new LinkEmulator({ port: Number(fake.host.split(':')[1]) })
  await link.start()
  t.teardown(() => link.stop())
  const registry = open(t, { hosts: [{ host: link.host, plainHttp: true }] }).get(link.host)
  const { digest } = await registry.resolve('mecm/web', '1', unending)
  for (let time = 1; time <= 8; time++) await registry.hasManifest('mecm/web', digest, unending)
  await registry.fetchManifest('mecm/web', digest, unending)
  t.equal(link.counts.requests, 10)
  t.ok(link.counts.connections <= 2, `${link.counts.connections} connections`)
})

t.test('a server that sends a body with a HEAD is asked again on a new connection', async t => {
  const digest = `sha256:${'a'.repeat(64)}`
  const body = JSON.stringify({ repositories: ['a body that does not belong there'] })
  let connections = 0
  const server = createServer(socket => {
    connections++
    socket.on('data', () => {
      const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nDocker-Content-Digest: ${digest}\r\n`
      socket.write(`${head}Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n${body}`)
    })
    socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const registry = open(t, { hosts: [{ host, plainHttp: true }] }).get(host)
  for (let time = 1; time <= 3; time++) {
    t.match(await registry.resolve('mecm/web', '1', unending), { digest, size: body.length })
  }
  t.equal(connections, 3)
})

t.test('an upload is not sent twice by itself', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putBlob('mecm/db', Buffer.from('blob'))
  fake.fault({ method: 'PUT' }, { do: 'reset' })
  const bytes = async function* () {
    yield Buffer.from('blob')
  }
  await t.rejects(registry.uploadBlob('mecm/web', blob, bytes, unending), { code: 'UNAVAILABLE' })
  t.equal(fake.count({ method: 'PUT' }), 1)
})

t.test('nobody there, no such name, silence', async t => {
  const registries = open(t, { hosts: [{ host: '127.0.0.1:1', plainHttp: true }], stallTimeoutMs: 200 })
  const doing = /whether it is a registry/
  const refused = { code: 'UNAVAILABLE', host: '127.0.0.1:1', side: 'upstream', doing, answered: true }
  await t.rejects(registries.get('127.0.0.1:1').ping(unending), refused)
  await t.rejects(registries.get('registry.invalid').ping(unending), { code: 'DNS', host: 'registry.invalid' })
  const { fake, registry } = await startPair(t, {}, { stallTimeoutMs: 200 })
  fake.fault({}, { do: 'hang' })
  await t.rejects(registry.ping(unending), { code: 'TIMEOUT', host: fake.host })
})

t.test('signs of life are told as they come, and a failure knows whether one came before it', async t => {
  const heard: string[] = []
  const options = { stallTimeoutMs: 300, onAnswer: (host: string) => void heard.push(host) }
  const { fake, registry } = await startPair(t, {}, options)
  const stores = await startFake(t)
  const blob = fake.putBlob('mecm/web', Buffer.alloc(1000))
  const fails = async (
    work: Promise<unknown>,
    error: { code: string; host?: string; answered: boolean },
    signs: readonly string[],
  ) => {
    heard.length = 0
    await t.rejects(work, error)
    t.same(heard, signs)
  }
  fake.fault({}, { do: 'hang' }, 1)
  await fails(registry.ping(unending), { code: 'TIMEOUT', answered: false }, [])
  const nobody = open(t, { hosts: [{ host: '127.0.0.1:1', plainHttp: true }], ...options })
  await fails(nobody.get('127.0.0.1:1').ping(unending), { code: 'UNAVAILABLE', answered: true }, ['127.0.0.1:1'])
  await fails(nobody.get('registry.invalid').ping(unending), { code: 'DNS', answered: false }, [])

  fake.fault({ kind: 'blob' }, { do: 'redirect', to: 'http://storage.invalid/x' }, 1)
  const elsewhere = { code: 'DNS', host: 'storage.invalid', answered: true }
  await fails(fetchWhole(registry, 'mecm/web', blob), elsewhere, [fake.host])
  fake.fault({ kind: 'blob' }, { do: 'redirect', to: `${stores.url}/v2/x/blobs/${blob.digest}` }, 1)
  stores.fault({}, { do: 'hang' }, 1)
  const silent = { code: 'TIMEOUT', host: stores.host, answered: true }
  await fails(fetchWhole(registry, 'mecm/web', blob), silent, [fake.host])
  fake.fault({ kind: 'blob' }, { do: 'stall', afterBytes: 10 }, 1)
  await fails(fetchWhole(registry, 'mecm/web', blob), { code: 'STALLED', answered: true }, [fake.host])
})

t.test('a registry that asks for a token is there; one that was not asked yet may not be', async t => {
  const clock = { now: Date.now() }
  const heard: string[] = []
  const tokens = await startFake(t, { auth: { scheme: 'bearer', username: 'u', password: 'p', expiresInSeconds: 60 } })
  const challenge = `Bearer realm="${tokens.url}/token",service="fake"`
  const needsToken = { do: 'status', status: 401, headers: { 'www-authenticate': challenge } } as const
  const login = { username: 'u', password: 'p' }
  const onAnswer = (host: string) => void heard.push(host)
  const { fake, registry } = await startPair(
    t,
    {},
    { host: login, stallTimeoutMs: 300, now: () => clock.now, onAnswer },
  )
  fake.putImage('mecm/web', '1', [])
  const failed = (answered: boolean) => ({ code: 'TIMEOUT', host: tokens.host, answered })
  tokens.fault({ kind: 'token' }, { do: 'hang' }, 1)
  fake.fault({ kind: 'manifest' }, needsToken, 2)
  await t.rejects(registry.resolve('mecm/web', '1', unending), failed(true))
  t.same(heard, [fake.host])

  await registry.resolve('mecm/web', '1', unending)
  clock.now += 60_000
  heard.length = 0
  tokens.fault({ kind: 'token' }, { do: 'hang' }, 1)
  await t.rejects(registry.resolve('mecm/web', '1', unending), failed(false))
  t.same(heard, [])
  tokens.fault({ kind: 'token' }, { do: 'hang' }, 1)
  fake.fault({ kind: 'manifest' }, needsToken, 1)
  await t.rejects(registry.resolve('mecm/web', '1', unending), failed(true), 'it is asked first the next time')
  t.same(heard, [fake.host])
})

t.test('a server that speaks something else', async t => {
  const server = createServer(socket => socket.end('220 mail.example ESMTP\r\n')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const error = await open(t, { hosts: [{ host, plainHttp: true }] })
    .get(host)
    .ping(unending)
    .catch(error => error)
  t.match(error, { code: 'UNAVAILABLE', hint: /HTTP/, answered: true })
})

t.test('an abort ends a request wherever it is, with its reason', async t => {
  const { fake, registry } = await startPair(t)
  fake.fault({}, { do: 'hang' })
  const abort = new AbortController()
  const waiting = registry.ping(abort.signal)
  await fake.until(() => fake.count() === 1)
  abort.abort(new Error('stop'))
  await t.rejects(waiting, { message: 'stop' })
  await t.rejects(registry.ping(abort.signal), { message: 'stop' })
  await fake.until(() => fake.requests[0]?.closed === true)
})

t.test('closing ends what is under way', async t => {
  const fake = await startFake(t)
  const registries = open(t, { hosts: [{ host: fake.host, plainHttp: true }] })
  fake.fault({}, { do: 'hang' })
  const waiting = t.rejects(registries.get(fake.host).ping(unending))
  await fake.until(() => fake.count() === 1)
  await registries.close()
  await waiting
  await t.rejects(registries.get(fake.host).ping(unending), { message: /closed/ })
  t.equal(fake.count(), 1)
})

t.test('https', { skip: lacking('openssl') }, async t => {
  const files = await makeCertificates(t.testdir())
  const tls = { cert: readFileSync(files.certFile, 'utf8'), key: readFileSync(files.keyFile, 'utf8') }
  const fake = await startFake(t, { tls })

  t.test('with a private CA', async t => {
    const image = fake.putImage('mecm/web', '1', [Buffer.alloc(200_000, 'x')])
    const registry = connect(t, fake, { host: { caFile: files.caFile } })
    await registry.ping(unending)
    const [layer] = image.layers
    t.ok(layer && (await fetchWhole(registry, 'mecm/web', layer)))
  })

  t.test('an unknown CA and another name are refused, unless told otherwise', async t => {
    await t.rejects(connect(t, fake).ping(unending), { code: 'TLS', host: fake.host, answered: true, hint: /caFile/ })
    t.equal(fake.count({ kind: 'ping' }), 1)
    const misnamed = await startFake(t, { tls, address: '127.0.0.2' })
    const wrongName = connect(t, misnamed, { host: { caFile: files.caFile } })
    await t.rejects(wrongName.ping(unending), { code: 'TLS', host: misnamed.host, hint: /another name/ })
    t.equal(misnamed.count(), 0)
    const insecure = open(t, { hosts: [{ host: fake.host, insecureSkipVerify: true }] })
    await insecure.get(fake.host).ping(unending)
  })

  t.test('a CA file that is not there, and may come', async t => {
    const caFile = join(t.testdir(), 'ca.pem')
    const registry = connect(t, fake, { host: { caFile } })
    await t.rejects(registry.ping(unending), { code: 'TLS', hint: /readable/ })
    writeFileSync(caFile, 'not a certificate')
    await t.rejects(registry.ping(unending), { code: 'TLS', message: /PEM/ })
    copyFileSync(files.caFile, caFile)
    await registry.ping(unending)
  })

  t.test('plain http where https is expected, and the reverse', async t => {
    const plain = await startFake(t)
    const https = open(t, { hosts: [] }).get(plain.host)
    await t.rejects(https.ping(unending), { code: 'TLS', hint: /plainHttp/ })
    const http = open(t, { hosts: [{ host: fake.host, plainHttp: true }] }).get(fake.host)
    await t.rejects(http.ping(unending))
  })

  t.test('never from https to plain http', async t => {
    const storage = await startFake(t)
    const blob = fake.putBlob('mecm/web', Buffer.from('blob'))
    const registry = connect(t, fake, { host: { caFile: files.caFile } })
    fake.fault({ kind: 'blob' }, { do: 'redirect', to: `${storage.url}/x` })
    await t.rejects(fetchWhole(registry, 'mecm/web', blob), { code: 'REDIRECT', message: /plain http/ })
    t.equal(storage.count(), 0)
  })

  t.test('nor credentials to a token server in the clear', async t => {
    const login = { username: 'u', password: 'p' }
    const tokens = await startFake(t, { auth: { scheme: 'bearer', ...login } })
    const guarded = await startFake(t, { tls, auth: { scheme: 'bearer', ...login, realm: `${tokens.url}/token` } })
    const registry = connect(t, guarded, { host: { caFile: files.caFile, ...login } })
    await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAUTHORIZED', message: /token server/ })
    t.equal(tokens.count(), 0)
  })

  t.test('the CA is trusted for storage and token servers as well; skipping verification is not passed on', async t => {
    const storage = await startFake(t, { tls })
    const blob = storage.putBlob('b', Buffer.from('blob'))
    fake.putBlob('mecm/web', Buffer.from('blob'))
    const to = `https://localhost:${storage.port}/v2/b/blobs/${blob.digest}`
    fake.fault({ kind: 'blob' }, { do: 'redirect', to }, 2)
    const trusting = connect(t, fake, { host: { caFile: files.caFile } })
    t.equal((await fetchWhole(trusting, 'mecm/web', blob)).bytes.toString(), 'blob')
    const insecure = open(t, { hosts: [{ host: fake.host, insecureSkipVerify: true }] }).get(fake.host)
    await t.rejects(fetchWhole(insecure, 'mecm/web', blob), { code: 'TLS', host: `localhost:${storage.port}` })
  })
})
