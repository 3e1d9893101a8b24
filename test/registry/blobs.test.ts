import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import type { Fault } from '../fixtures/fake-registry-faults.ts'
import { fetchWhole, startPair, unending } from '../fixtures/registry-client.ts'

const size = 1_000_003

t.test('whole, and from an offset', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putGeneratedBlob('mecm/web', size)
  const whole = await fetchWhole(registry, 'mecm/web', blob)
  t.equal(digestOf(whole.bytes), blob.digest)
  t.equal(fake.requests[0]?.headers['accept-encoding'], 'identity')
  t.equal(fake.requests[0]?.headers['user-agent'], 'test/1')
  const rest = await fetchWhole(registry, 'mecm/web', blob, 999_000)
  t.equal(rest.offset, 999_000)
  t.ok(rest.bytes.equals(whole.bytes.subarray(999_000)))
  t.equal(fake.requests[1]?.headers.range, 'bytes=999000-')
  for (let i = 0; i < 5; i++) await fetchWhole(registry, 'mecm/web', blob)
  // The next request may come before the client has seen that the connection is free again.
  t.ok(fake.connections <= 2, 'connections are kept')
})

t.test('nothing left, and the empty blob, cost no request', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putBlob('mecm/web', Buffer.from('abc'))
  t.same(await fetchWhole(registry, 'mecm/web', blob, 3), { offset: 3, bytes: Buffer.alloc(0) })
  const empty = { ...blob, digest: digestOf(new Uint8Array()), size: 0 }
  t.same(await fetchWhole(registry, 'mecm/web', empty), { offset: 0, bytes: Buffer.alloc(0) })
  t.equal(fake.count(), 0)
})

t.test('a source that ignores Range, or answers another one, starts at 0', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putGeneratedBlob('mecm/web', size)
  const odd: [Fault, number][] = [
    [{ do: 'ignoreRange' }, 1],
    [{ do: 'wrongRange', contentRange: `bytes 999-${size - 1}/${size}` }, 2],
    [{ do: 'wrongRange', contentRange: `bytes 1000-${size - 1}/${size + 1}` }, 2],
    [{ do: 'wrongRange', contentRange: `bytes 1000-2000/${size}` }, 2],
    [{ do: 'wrongRange', contentRange: 'nonsense' }, 2],
    [{ do: 'headers', set: { 'content-range': undefined } }, 2],
    [{ do: 'status', status: 416 }, 2],
  ]
  for (const [fault, requests] of odd) {
    fake.clearLog()
    fake.fault({ kind: 'blob' }, fault)
    const { offset, bytes } = await fetchWhole(registry, 'mecm/web', blob, 1000)
    t.equal(offset, 0)
    t.equal(digestOf(bytes), blob.digest)
    t.equal(fake.count(), requests, JSON.stringify(fault))
  }
})

t.test('an unknown total in Content-Range is fine', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putGeneratedBlob('mecm/web', size)
  fake.fault({ kind: 'blob' }, { do: 'wrongRange', contentRange: `bytes 1000-${size - 1}/*` })
  t.equal((await fetchWhole(registry, 'mecm/web', blob, 1000)).offset, 1000)
})

t.test('bodies that are not what the descriptor says', async t => {
  const { fake, registry } = await startPair(t, {}, { stallTimeoutMs: 300 })
  const blob = fake.putGeneratedBlob('mecm/web', size)
  const cases: [Fault, string][] = [
    [{ do: 'cut', afterBytes: 1000 }, 'UNAVAILABLE'],
    [{ do: 'stall', afterBytes: 1000 }, 'STALLED'],
    [{ do: 'truncate', length: 1000 }, 'UNAVAILABLE'],
    [{ do: 'resize', by: 1 }, 'SIZE_MISMATCH'],
    [{ do: 'resize', by: -1 }, 'SIZE_MISMATCH'],
    [{ do: 'endless' }, 'SIZE_MISMATCH'],
    [{ do: 'headers', set: { 'content-encoding': 'gzip' } }, 'UNSUPPORTED'],
    [{ do: 'hang' }, 'TIMEOUT'],
  ]
  for (const [fault, code] of cases) {
    fake.fault({ kind: 'blob' }, fault)
    const told = { code, side: 'upstream', host: fake.host, doing: /^fetch blob sha256:[0-9a-f]{12} of mecm\/web$/ }
    await t.rejects(fetchWhole(registry, 'mecm/web', blob), told, fault.do)
  }
  t.equal((await fetchWhole(registry, 'mecm/web', blob)).bytes.byteLength, size, 'and the next request is served')
})

t.test('never more than what is missing comes out', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putGeneratedBlob('mecm/web', 100_000)
  fake.fault({ kind: 'blob' }, { do: 'endless' })
  const { body } = await registry.fetchBlob('mecm/web', blob, { offset: 90_000, signal: unending })
  let came = 0
  const reading = async () => {
    for await (const chunk of body) came += chunk.byteLength
  }
  await t.rejects(reading(), { code: 'SIZE_MISMATCH' })
  t.ok(came <= 10_000)
})

t.test('what is all there comes out, though the answer does not end', async t => {
  const { fake, registry } = await startPair(t, {}, { stallTimeoutMs: 60_000 })
  const blob = fake.putGeneratedBlob('mecm/web', 100_000)
  fake.fault({ kind: 'blob' }, { do: 'unended' })
  const { bytes } = await fetchWhole(registry, 'mecm/web', blob)
  t.equal(digestOf(bytes), blob.digest)
  await fake.until(() => fake.requests[0]?.closed === true)
  t.equal((await fetchWhole(registry, 'mecm/web', blob)).bytes.byteLength, 100_000, 'and the next one is served')
})

t.test('a reader that leaves, an abort, and a body nobody reads free their connections', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putGeneratedBlob('mecm/web', 50_000_000)
  const left = await registry.fetchBlob('mecm/web', blob, { offset: 0, signal: unending })
  for await (const chunk of left.body) {
    t.ok(chunk.byteLength > 0)
    break
  }
  const unread = await registry.fetchBlob('mecm/web', blob, { offset: 0, signal: unending })
  unread.cancel()
  const abort = new AbortController()
  const stopped = await registry.fetchBlob('mecm/web', blob, { offset: 0, signal: abort.signal })
  const reading = async () => {
    for await (const _ of stopped.body) abort.abort(new Error('enough'))
  }
  await t.rejects(reading(), { message: 'enough' })
  const idle = new AbortController()
  await registry.fetchBlob('mecm/web', blob, { offset: 0, signal: idle.signal })
  idle.abort(new Error('nobody came'))
  await fake.until(() => fake.requests.length === 4 && fake.requests.every(request => request.closed))
  t.ok(fake.bytesSent() < 4 * 20_000_000)
})

t.test('a slow reader holds the sender back', async t => {
  const { fake, registry } = await startPair(t, {}, { stallTimeoutMs: 200 })
  const blob = fake.putGeneratedBlob('mecm/web', 60_000_000)
  const { body } = await registry.fetchBlob('mecm/web', blob, { offset: 0, signal: unending })
  let came = 0
  for await (const chunk of body) {
    came += chunk.byteLength
    // Longer than the stall timeout: our own slowness is not the sender's silence.
    if (came === chunk.byteLength) {
      await new Promise(resolve => setTimeout(resolve, 900))
      t.ok(fake.bytesSent() < 30_000_000, 'what is not read waits at the sender')
    }
  }
  t.equal(came, blob.size)
})

t.test('hasBlob: one HEAD', async t => {
  const { fake, registry } = await startPair(t)
  const blob = fake.putBlob('mecm/web', Buffer.from('abc'))
  t.equal(await registry.hasBlob('mecm/web', blob.digest, unending), true)
  t.equal(await registry.hasBlob('mecm/db', blob.digest, unending), false)
  t.same(
    fake.requests.map(request => request.method),
    ['HEAD', 'HEAD'],
  )
  fake.fault({ kind: 'blob' }, { do: 'status', status: 503 })
  await t.rejects(registry.hasBlob('mecm/web', blob.digest, unending), { code: 'UNAVAILABLE' })
})
