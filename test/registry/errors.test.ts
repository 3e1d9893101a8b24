import t from 'tap'
import { parseRetryAfter } from '../../src/registry/errors.ts'
import { startPair, unending } from '../fixtures/registry-client.ts'

const spec: [status: number, code: string | undefined, expected: string][] = [
  [401, undefined, 'UNAUTHORIZED'],
  [401, 'DENIED', 'DENIED'],
  [403, undefined, 'DENIED'],
  [403, 'UNKNOWN_TO_US', 'DENIED'],
  [404, undefined, 'MANIFEST_UNKNOWN'],
  [404, 'NAME_UNKNOWN', 'NAME_UNKNOWN'],
  [404, 'NOT_FOUND', 'MANIFEST_UNKNOWN'],
  [400, 'DIGEST_INVALID', 'UNSUPPORTED'],
  [400, 'NAME_INVALID', 'NAME_INVALID'],
  [400, undefined, 'UNSUPPORTED'],
  [408, undefined, 'TIMEOUT'],
  [429, undefined, 'TOOMANYREQUESTS'],
  [429, 'DENIED', 'TOOMANYREQUESTS'],
  [500, undefined, 'UNAVAILABLE'],
  [502, 'MANIFEST_UNKNOWN', 'UNAVAILABLE'],
  [503, undefined, 'UNAVAILABLE'],
  [204, undefined, 'UNAVAILABLE'],
]

t.test('statuses and the codes of the specification', async t => {
  const { fake, registry } = await startPair(t)
  for (const [status, code, expected] of spec) {
    fake.fault({ kind: 'manifest' }, { do: 'status', status, ...(code === undefined ? {} : { code }) })
    await t.rejects(
      registry.fetchManifest('mecm/web', '1', unending),
      { code: expected, side: 'upstream', answered: true },
      `${status} ${code}`,
    )
  }
  t.equal(fake.count(), spec.length, 'none is tried again here')
})

t.test('pages of proxies: by the status, and nothing of the page', async t => {
  const { fake, registry } = await startPair(t)
  fake.fault({ kind: 'manifest' }, { do: 'status', status: 502, body: '<html>secret</html>' })
  const error = await registry.fetchManifest('mecm/web', '1', unending).catch(error => error)
  t.match(error, { code: 'UNAVAILABLE', message: /answered 502$/ })
})

t.test("a registry's text stays one short line", async t => {
  const { fake, registry } = await startPair(t)
  const message = `a\u001b[31m\nb https://s3.example/x?sig=secret ${'x'.repeat(5000)}`
  fake.fault({ kind: 'manifest' }, { do: 'status', status: 403, code: 'DENIED', message })
  const error = await registry.fetchManifest('mecm/web', '1', unending).catch(error => error)
  t.notMatch(error.message, /\p{Cc}|secret/u)
  t.ok(error.message.length < 600)
})

t.test('an endless error body is cut', async t => {
  const { fake, registry } = await startPair(t)
  fake.putImage('mecm/web', '1', [])
  fake.fault({ kind: 'manifest' }, { do: 'status', status: 404, body: 'x'.repeat(3_000_000) })
  await t.rejects(registry.fetchManifest('mecm/web', '1', unending), { code: 'MANIFEST_UNKNOWN' })
  await fake.until(() => fake.requests.every(request => request.closed))
})

t.test('Retry-After: seconds or a date, at most an hour', async t => {
  const now = Date.parse('2026-11-21T08:00:00Z')
  t.equal(parseRetryAfter('7', now), 7000)
  t.equal(parseRetryAfter('Sat, 21 Nov 2026 08:01:00 GMT', now), 60_000)
  t.equal(parseRetryAfter('Sat, 21 Nov 2020 08:01:00 GMT', now), 0)
  t.equal(parseRetryAfter('999999999999', now), 3_600_000)
  for (const value of [undefined, '', 'soon', '-']) t.equal(parseRetryAfter(value, now), undefined, value ?? 'none')
  const { fake, registry } = await startPair(t)
  fake.fault({ kind: 'manifest' }, { do: 'status', status: 503, headers: { 'retry-after': '120' } })
  await t.rejects(registry.resolve('mecm/web', '1', unending), { code: 'UNAVAILABLE', retryAfterMs: 120_000 })
})
