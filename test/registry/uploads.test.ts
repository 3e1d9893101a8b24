import t from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { openSessions } from '../fixtures/fake-registry-writes.ts'
import { startPair, unending } from '../fixtures/registry-client.ts'

const bytes = Buffer.alloc(18_000_000, 'content ')
const blob: Descriptor = { mediaType: 'application/x', digest: digestOf(bytes), size: bytes.byteLength }
const login = { username: 'u', password: 'p' }

async function* open(offset: number) {
  for (let at = offset; at < bytes.byteLength; at += 1_000_000)
    yield bytes.subarray(at, Math.min(at + 1_000_000, bytes.byteLength))
}

t.test('whole, whatever the session is called', async t => {
  for (const uploadLocation of ['relative', 'absolute', 'query'] as const) {
    const { fake, registry } = await startPair(t, { uploadLocation })
    await registry.uploadBlob('mecm/web', blob, open, unending)
    t.equal(await registry.hasBlob('mecm/web', blob.digest, unending), true)
    t.same(
      fake.requests.map(request => request.method),
      ['POST', 'PUT', 'HEAD'],
    )
  }
})

t.test('the empty blob', async t => {
  const { registry } = await startPair(t)
  const empty = { ...blob, digest: digestOf(new Uint8Array()), size: 0 }
  await registry.uploadBlob('mecm/web', empty, async function* () {}, unending)
  t.equal(await registry.hasBlob('mecm/web', empty.digest, unending), true)
})

t.test('in chunks, where a registry wants that', async t => {
  const { fake, registry } = await startPair(t, { chunkedOnly: true })
  await registry.uploadBlob('mecm/web', blob, open, unending)
  t.equal(await registry.hasBlob('mecm/web', blob.digest, unending), true)
  t.equal(openSessions(fake), 0, 'the first session was cancelled')
  t.same(
    fake.find({ method: 'PATCH' }).map(request => request.headers['content-range']),
    ['0-16777215', '16777216-17999999'],
  )
})

t.test('with tokens: the body is sent once', async t => {
  const { fake, registry } = await startPair(t, { auth: { scheme: 'bearer', ...login } }, { host: login })
  await registry.uploadBlob('mecm/web', blob, open, unending)
  t.same(
    fake.requests.map(request => `${request.method} ${request.status}`),
    ['POST 401', 'GET 200', 'POST 202', 'PUT 201'],
  )
  t.same(fake.authority?.asked, [['repository:mecm/web:pull,push']])
})

t.test('wrong bytes, a source that fails, an abort', async t => {
  const { fake, registry } = await startPair(t)
  const wrong = { ...blob, digest: digestOf(Buffer.from('else')) }
  await t.rejects(registry.uploadBlob('mecm/web', wrong, open, unending), { code: 'DIGEST_MISMATCH' })
  const failing = async function* () {
    yield bytes.subarray(0, 1000)
    throw new Error('disk')
  }
  await t.rejects(registry.uploadBlob('mecm/web', blob, failing, unending))
  const abort = new AbortController()
  const endless = async function* () {
    for (;;) {
      yield bytes.subarray(0, 1_000_000)
      abort.abort(new Error('enough'))
    }
  }
  await t.rejects(registry.uploadBlob('mecm/web', blob, endless, abort.signal), { message: 'enough' })
  t.equal(fake.count({ method: 'PATCH' }), 0)
  await fake.until(() => openSessions(fake) === 0)
})

t.test('a session without or with an odd address', async t => {
  const { fake, registry } = await startPair(t)
  for (const location of [undefined, 'file:///x']) {
    fake.fault({ kind: 'upload' }, { do: 'headers', set: { location } })
    await t.rejects(registry.uploadBlob('mecm/web', blob, open, unending), { code: 'UNAVAILABLE' })
  }
})
