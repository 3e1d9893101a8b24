import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connect, fetchWhole, open, startFake, startPair, unending } from '../fixtures/registry-client.ts'

const login = { username: 'robot$mecm', password: 'p,"w' }
const bearer = { scheme: 'bearer', ...login } as const

t.test('Basic: one 401, then sent with every request', async t => {
  const { fake, registry } = await startPair(t, { auth: { scheme: 'basic', ...login } }, { host: login })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  await registry.resolve('mecm/web', '1', unending)
  await registry.resolve('mecm/web', '1', unending)
  t.same(
    fake.requests.map(request => request.status),
    [401, 200, 200],
  )
})

t.test('Basic: wrong or no credentials end at once', async t => {
  for (const host of [{}, { username: 'robot$mecm', password: 'wrong' }]) {
    const { fake, registry } = await startPair(t, { auth: { scheme: 'basic', ...login } }, { host })
    await t.rejects(registry.resolve('mecm/web', '1', unending), {
      code: 'UNAUTHORIZED',
      side: 'upstream',
      host: fake.host,
    })
    t.equal(fake.count(), host.username === undefined ? 1 : 2)
  }
})

t.test('Bearer: one token per scope, kept', async t => {
  const { fake, registry } = await startPair(t, { auth: { ...bearer, expiresInSeconds: 300 } }, { host: login })
  const image = fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  const other = fake.putBlob('mecm/db', Buffer.from('other'))
  await registry.resolve('mecm/web', '1', unending)
  await registry.fetchManifest('mecm/web', image.root.digest, unending)
  await fetchWhole(registry, 'mecm/web', image.config)
  await fetchWhole(registry, 'mecm/db', other)
  t.equal(fake.find({}).filter(request => request.status === 401).length, 1, 'the second scope needs no 401 of its own')
  t.same(fake.authority?.asked, [['repository:mecm/web:pull'], ['repository:mecm/db:pull']])
  t.match(fake.find({ kind: 'token' })[0]?.path, /service=fake/)
})

t.test('Bearer: requests at the same time share one token request', async t => {
  const { fake, registry } = await startPair(t, { auth: bearer }, { host: login })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  await Promise.all([1, 2, 3, 4, 5].map(() => registry.resolve('mecm/web', '1', unending)))
  t.equal(fake.count({ kind: 'token' }), 1)
})

t.test('Bearer: renewed before it runs out, and after a 401', async t => {
  const clock = { now: Date.now() }
  const auth = { ...bearer, expiresInSeconds: 100, tokenField: 'access_token' } as const
  const { fake, registry } = await startPair(t, { auth }, { host: login, now: () => clock.now })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  const statuses = async () => {
    fake.clearLog()
    await registry.resolve('mecm/web', '1', unending)
    return fake.requests.map(request => `${request.kind} ${request.status}`)
  }
  t.same(await statuses(), ['manifest 401', 'token 200', 'manifest 200'])
  clock.now += 85_000
  t.same(await statuses(), ['manifest 200'])
  clock.now += 10_000
  t.same(await statuses(), ['token 200', 'manifest 200'], 'before it runs out')
  fake.authority?.revoke()
  t.same(await statuses(), ['manifest 401', 'token 200', 'manifest 200'], 'the registry forgot it')
})

t.test('Bearer: a token is shown as long as it is good, though another could not be had', async t => {
  const { fake, registry } = await startPair(t, { auth: { ...bearer, expiresInSeconds: 600 } }, { host: login })
  for (const name of ['mecm/a', 'mecm/b']) fake.putImage(name, '1', [])
  const asked = async (repository: string) => {
    fake.clearLog()
    const isThere = await registry.resolve(repository, '1', unending).then(
      () => true,
      () => false,
    )
    return [isThere, ...fake.requests.map(request => `${request.kind} ${request.status}`)]
  }
  t.same(await asked('mecm/a'), [true, 'manifest 401', 'token 200', 'manifest 200'])
  fake.fault({ kind: 'token' }, { do: 'status', status: 503 }, 1)
  t.same(await asked('mecm/b'), [false, 'token 503'])
  t.same(await asked('mecm/a'), [true, 'manifest 200'])
  t.same(await asked('mecm/b'), [true, 'manifest 401', 'token 200', 'manifest 200'], 'the registry is asked first')
})

t.test('Bearer: a token server that fails does not take its successor along', async t => {
  const [former, present] = await Promise.all([startFake(t, { auth: bearer }), startFake(t, { auth: bearer })])
  const { fake, registry } = await startPair(t, {}, { host: login, stallTimeoutMs: 300 })
  for (const name of ['mecm/a', 'mecm/b', 'mecm/c']) fake.putImage(name, '1', [])
  const names = (server: typeof fake) => {
    const headers = { 'www-authenticate': `Bearer realm="${server.url}/token"` }
    fake.fault({ kind: 'manifest' }, { do: 'status', status: 401, headers }, 1)
  }
  former.fault({ kind: 'token' }, { do: 'hang' }, 1)
  names(former)
  const failing = t.rejects(registry.resolve('mecm/a', '1', unending), { code: 'TIMEOUT', host: former.host })
  while (former.count({ kind: 'token' }) === 0) await new Promise(resolve => setImmediate(resolve))
  names(present)
  await registry.resolve('mecm/b', '1', unending)
  await failing
  await registry.resolve('mecm/c', '1', unending)
  t.equal(present.count({ kind: 'token' }), 2, 'the last one without a 401 before it')
})

t.test('Bearer: a token that never helps ends after one further try', async t => {
  const { fake, registry } = await startPair(t, { auth: bearer }, { host: login })
  fake.fault(
    { kind: 'manifest' },
    {
      do: 'status',
      status: 401,
      code: 'UNAUTHORIZED',
      headers: { 'www-authenticate': `Bearer realm="${fake.url}/token"` },
    },
    Infinity,
  )
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAUTHORIZED' })
  t.equal(fake.count({ kind: 'manifest' }), 2)
  t.ok(fake.count({ kind: 'token' }) <= 2)
})

t.test('Bearer: anonymous tokens, and refused credentials', async t => {
  const fake = await startFake(t, { auth: { ...bearer, anonymousPull: true } })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  await connect(t, fake).resolve('mecm/web', '1', unending)
  const wrong = connect(t, fake, { host: { username: 'robot', password: 'wrong' } })
  await t.rejects(wrong.resolve('mecm/web', '1', unending), { code: 'UNAUTHORIZED', hint: /token server/ })
})

t.test('Bearer: an identity token goes by POST', async t => {
  const fake = await startFake(t, { auth: { ...bearer, identityToken: 'refresh-me', tokenField: 'access_token' } })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  const dockerConfig = join(t.testdir(), 'config.json')
  writeFileSync(dockerConfig, JSON.stringify({ auths: { [fake.host]: { identitytoken: 'refresh-me' } } }))
  await connect(t, fake, { dockerConfig }).resolve('mecm/web', '1', unending)
  t.same(
    fake.find({ kind: 'token' }).map(request => [request.method, request.path]),
    [['POST', '/token']],
  )
})

t.test('Bearer among several challenges is preferred', async t => {
  const challenge = 'Basic realm="a, b", Bearer realm="{realm}",service="fake",scope="{scope}"'
  const { fake, registry } = await startPair(t, { auth: { ...bearer, challenge } }, { host: login })
  fake.putImage('mecm/web', '1', [Buffer.from('layer')])
  await registry.resolve('mecm/web', '1', unending)
  t.equal(fake.count({ kind: 'token' }), 1)
})

t.test('a mount asks for both repositories', async t => {
  const { fake, registry } = await startPair(t, { auth: bearer }, { host: login })
  const blob = fake.putBlob('mecm/db', Buffer.from('blob'))
  t.equal(await registry.mountBlob('mecm/web', blob.digest, 'mecm/db', unending), true)
  t.same(fake.authority?.asked[0]?.sort(), ['repository:mecm/db:pull', 'repository:mecm/web:pull,push'])
})

t.test('a token server on another host gets the credentials, unless it would be in the clear after https', async t => {
  const tokens = await startFake(t, { auth: bearer })
  const fake = await startFake(t, { auth: { ...bearer, realm: `${tokens.url}/token` } })
  const registry = connect(t, fake, { host: login })
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAUTHORIZED' }, 'its tokens are not ours')
  t.equal(tokens.find({ kind: 'token' })[0]?.status, 200)
})

t.test('a token answer that is none', async t => {
  for (const body of ['<html>', '{}', '{"token": 7}', '{"token": "a\\r\\nb"}']) {
    const { fake, registry } = await startPair(t, { auth: bearer }, { host: login })
    fake.fault({ kind: 'token' }, { do: 'body', body })
    await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAVAILABLE', host: fake.host }, body)
  }
})

t.test(
  'a token server that is silent is given up; one caller that leaves does not spoil it for the others',
  async t => {
    const fake = await startFake(t, { auth: bearer })
    fake.putImage('mecm/web', '1', [Buffer.from('layer')])
    const registry = open(t, { hosts: [{ host: fake.host, plainHttp: true, ...login }], stallTimeoutMs: 300 }).get(
      fake.host,
    )
    fake.fault({ kind: 'token' }, { do: 'hang' })
    await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'TIMEOUT' })
    const leaver = new AbortController()
    const left = registry.resolve('mecm/web', '1', leaver.signal)
    const stayed = registry.resolve('mecm/web', '1', unending)
    await fake.until(() => fake.count({ kind: 'token' }) === 2)
    leaver.abort(new Error('changed my mind'))
    await t.rejects(left, { message: 'changed my mind' })
    t.ok(await stayed)
  },
)
