import t from 'tap'
import { fetchWhole, startFake, startPair, unending } from '../fixtures/registry-client.ts'

const login = { username: 'u', password: 'p' }

t.test('a blob redirected to another origin comes without our credentials, with the Range', async t => {
  const storage = await startFake(t)
  const { fake, registry } = await startPair(t, { auth: { scheme: 'basic', ...login } }, { host: login })
  const bytes = Buffer.alloc(1000, 'x')
  const blob = storage.putBlob('bucket', bytes)
  const to = `${storage.url}/v2/bucket/blobs/${blob.digest}?X-Amz-Signature=secret`
  for (const status of [301, 302, 303, 307, 308]) fake.fault({ kind: 'blob' }, { do: 'redirect', to, status })
  for (const offset of [0, 10, 20, 30, 40]) {
    t.same(await fetchWhole(registry, 'mecm/web', blob, offset), { offset, bytes: bytes.subarray(offset) })
  }
  t.equal(storage.count(), 5)
  for (const request of storage.requests) t.equal(request.headers.authorization, undefined)
})

t.test('a redirect on the same origin keeps them', async t => {
  const { fake, registry } = await startPair(t, { auth: { scheme: 'basic', ...login } }, { host: login })
  const blob = fake.putBlob('elsewhere', Buffer.from('blob'))
  fake.fault({ kind: 'blob' }, { do: 'redirect', to: `/v2/elsewhere/blobs/${blob.digest}` }, 1)
  t.equal((await fetchWhole(registry, 'mecm/web', blob)).bytes.toString(), 'blob')
})

t.test('a 401 of the other origin is not answered with our credentials', async t => {
  const storage = await startFake(t, { auth: { scheme: 'basic', username: 'thief', password: 'x' } })
  const { fake, registry } = await startPair(t, {}, { host: login })
  const blob = fake.putBlob('mecm/web', Buffer.from('blob'))
  fake.fault({ kind: 'blob' }, { do: 'redirect', to: `${storage.url}/v2/x/blobs/${blob.digest}?sig=secret` })
  const error = await fetchWhole(registry, 'mecm/web', blob).catch(error => error)
  t.match(error, { code: 'UNAUTHORIZED', host: storage.host })
  t.notMatch(error.message, /secret/)
  t.equal(storage.count(), 1)
})

t.test('there and back again: what an outsider chose gets no credentials', async t => {
  const storage = await startFake(t)
  const { fake, registry } = await startPair(t, { auth: { scheme: 'basic', ...login } }, { host: login })
  const blob = fake.putBlob('mecm/web', Buffer.from('blob'))
  await registry.hasBlob('mecm/web', blob.digest, unending)
  fake.clearLog()
  fake.fault({ kind: 'blob' }, { do: 'redirect', to: `${storage.url}/v2/x/blobs/back` })
  storage.fault({ kind: 'blob' }, { do: 'redirect', to: `${fake.url}/v2/secret/blobs/${blob.digest}` })
  await t.rejects(fetchWhole(registry, 'mecm/web', blob), { code: 'UNAUTHORIZED' })
  t.equal(fake.requests.at(-1)?.headers.authorization, undefined)
})

t.test('circles and long ways end', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putBlob('mecm/web', Buffer.from('blob'))
  fake.fault({ kind: 'blob' }, { do: 'redirect', to: `/v2/mecm/web/blobs/${blob.digest}` }, Infinity)
  await t.rejects(fetchWhole(registry, 'mecm/web', blob), { code: 'REDIRECT', doing: /^fetch blob/ })
  t.equal(fake.count(), 1)
  fake.clearFaults()
  for (let i = 0; i < 10; i++) fake.fault({ kind: 'blob' }, { do: 'redirect', to: `/v2/a/blobs/${i}` })
  await t.rejects(fetchWhole(registry, 'mecm/web', blob), { code: 'REDIRECT' })
  t.equal(fake.count(), 1 + 6)
})

t.test('what is not http, and an upload that is redirected as a GET', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putBlob('mecm/web', Buffer.from('blob'))
  fake.fault({ kind: 'blob' }, { do: 'redirect', to: 'file:///etc/passwd' })
  await t.rejects(fetchWhole(registry, 'mecm/web', blob), { code: 'REDIRECT' })
  fake.fault({ kind: 'upload' }, { do: 'redirect', to: '/elsewhere', status: 302 })
  await t.rejects(
    registry.uploadBlob('mecm/web', blob, async function* () {}, unending),
    { code: 'REDIRECT' },
  )
})
