import { pino } from 'pino'
import t from 'tap'
import { buildRegistryApp } from '../../../src/http/registry/app.ts'
import { Traffic } from '../../../src/http/registry/traffic.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/media-types.ts'
import { artifact, everyKind, image, withReferrers } from '../../fixtures/images.ts'
import { MemoryContent } from '../../fixtures/memory-content.ts'

function start(t: Tap, logger = pino({ level: 'silent' })) {
  const store = new MemoryContent()
  const traffic = new Traffic()
  const app = buildRegistryApp({ store, traffic, logger })
  t.teardown(() => app.close())
  return { store, traffic, app }
}
type Tap = { teardown(fn: () => unknown): void }

t.test('the base says which API this is', async t => {
  const { app } = start(t)
  for (const url of ['/v2/', '/v2']) {
    const answer = await app.inject(url)
    t.equal(answer.statusCode, 200)
    t.equal(answer.body, '{}')
    t.equal(answer.headers['docker-distribution-api-version'], 'registry/2.0')
  }
})

t.test('every kind of manifest comes by tag and digest, byte for byte, whatever is accepted', async t => {
  const { app, store, traffic } = start(t)
  for (const [kind, sample] of Object.entries(everyKind())) {
    const { bytes, descriptor } = sample.root
    store.add('mecm/app', sample, 'v1')
    for (const reference of ['v1', descriptor.digest, encodeURIComponent(descriptor.digest)]) {
      const url = `/v2/mecm/app/manifests/${reference}`
      const answer = await app.inject({ url, headers: { accept: 'text/html' } })
      t.equal(answer.statusCode, 200, kind)
      t.ok(answer.rawPayload.equals(bytes), kind)
      const expected = {
        'content-type': descriptor.mediaType,
        'content-length': String(bytes.byteLength),
        'docker-content-digest': descriptor.digest,
        etag: `"${descriptor.digest}"`,
      }
      t.match(answer.headers, expected)
      const head = await app.inject({ method: 'HEAD', url })
      t.match(head.headers, expected)
      t.equal(head.body, '')
    }
  }
  const kinds = Object.keys(everyKind()).length
  t.equal(traffic.pulls, kinds * 3, 'HEAD is no pull')
  t.equal(store.opened.length, 0)
})

t.test('what is asked for by digest may be cached, a tag may not', async t => {
  const { app, store } = start(t)
  const sample = image()
  store.add('web', sample, 'v1')
  const { digest } = sample.root.descriptor
  t.match((await app.inject(`/v2/web/manifests/${digest}`)).headers['cache-control'], /immutable/)
  t.equal((await app.inject('/v2/web/manifests/v1')).headers['cache-control'], 'no-cache')
  const headers = { 'if-none-match': `"x", "${digest}"` }
  const current = await app.inject({ url: '/v2/web/manifests/v1', headers })
  t.equal(current.statusCode, 304)
  t.equal(current.body, '')
  t.equal(current.headers.etag, `"${digest}"`)
})

t.test('blobs: whole, head, and ranges', async t => {
  const { app, store, traffic } = start(t)
  const bytes = Buffer.from('0123456789')
  const digest = digestOf(bytes)
  store.addBlob('mecm/web', digest, bytes)
  const url = `/v2/mecm/web/blobs/${digest}`

  const head = await app.inject({ method: 'HEAD', url, headers: { range: 'bytes=2-' } })
  t.equal(head.statusCode, 200)
  t.match(head.headers, { 'content-length': '10', 'accept-ranges': 'bytes', 'docker-content-digest': digest })
  t.equal(store.opened.length, 0, 'HEAD opens no file')

  const whole = await app.inject(url)
  t.equal(whole.body, '0123456789')
  t.match(whole.headers, {
    'content-type': 'application/octet-stream',
    'content-length': '10',
    'docker-content-digest': digest,
    'docker-distribution-api-version': 'registry/2.0',
    etag: `"${digest}"`,
  })
  const part = await app.inject({ url, headers: { range: 'bytes=2-4' } })
  t.equal(part.statusCode, 206)
  t.equal(part.body, '234')
  t.match(part.headers, { 'content-range': 'bytes 2-4/10', 'content-length': '3' })
  t.equal((await app.inject({ url, headers: { range: 'bytes=-2' } })).body, '89')
  t.equal((await app.inject({ url, headers: { range: 'bytes=8-', 'if-range': '"x"' } })).statusCode, 200)

  const beyond = await app.inject({ url, headers: { range: 'bytes=10-' } })
  t.equal(beyond.statusCode, 416)
  t.equal(beyond.headers['content-range'], 'bytes */10')
  t.match(beyond.json(), { errors: [{ code: 'SIZE_INVALID', detail: { size: 10 } }] })
  t.equal(traffic.servedBytes, 10 + 3 + 2 + 10)
  t.equal(store.openNow, 0, 'every file is closed again')
})

t.test('an empty blob is 200 with nothing in it, with a range, too', async t => {
  const { app, store } = start(t)
  const digest = digestOf(Buffer.alloc(0))
  store.addBlob('web', digest, Buffer.alloc(0))
  for (const headers of [{}, { range: 'bytes=0-' }]) {
    const answer = await app.inject({ url: `/v2/web/blobs/${digest}`, headers })
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['content-length'], '0')
    t.equal(answer.rawPayload.length, 0)
  }
})

t.test('a blob larger than the buffers comes whole', async t => {
  const { app, store } = start(t)
  const bytes = Buffer.alloc(1_000_003, 'abcdefg')
  const digest = digestOf(bytes)
  store.addBlob('web', digest, bytes)
  t.ok((await app.inject(`/v2/web/blobs/${digest}`)).rawPayload.equals(bytes))
  const range = await app.inject({ url: `/v2/web/blobs/${digest}`, headers: { range: 'bytes=300000-900000' } })
  t.ok(range.rawPayload.equals(bytes.subarray(300_000, 900_001)))
})

t.test('content of one repository is not in another', async t => {
  const { app, store } = start(t)
  const sample = image()
  const other = image({ seed: 'other' })
  store.add('a', sample, 'v1')
  store.add('b', other, 'v1')
  const [blob] = sample.blobs.keys()
  const manifest = sample.root.descriptor.digest
  t.match((await app.inject(`/v2/b/blobs/${blob}`)).json(), { errors: [{ code: 'BLOB_UNKNOWN' }] })
  t.match((await app.inject(`/v2/b/manifests/${manifest}`)).json(), { errors: [{ code: 'MANIFEST_UNKNOWN' }] })
  t.match((await app.inject('/v2/b/manifests/v2')).json(), { errors: [{ code: 'MANIFEST_UNKNOWN' }] })
  t.match((await app.inject(`/v2/c/blobs/${blob}`)).json(), { errors: [{ code: 'NAME_UNKNOWN' }] })
  t.match((await app.inject('/v2/c/manifests/v1')).json(), { errors: [{ code: 'NAME_UNKNOWN' }] })
})

t.test('errors have the form of the specification', async t => {
  const { app, store } = start(t)
  store.add('web', image(), 'v1')
  const digest = digestOf(Buffer.from('nowhere'))
  const cases: [string, number, string][] = [
    [`/v2/web/blobs/${digest}`, 404, 'BLOB_UNKNOWN'],
    ['/v2/web/blobs/sha256:zz', 400, 'DIGEST_INVALID'],
    ['/v2/Web/manifests/v1', 400, 'NAME_INVALID'],
    ['/v2/web/manifests/v%zz', 400, 'NAME_INVALID'],
    ['/v2/web', 404, 'NAME_UNKNOWN'],
    ['/', 404, 'NAME_UNKNOWN'],
    ['/v1/search', 404, 'NAME_UNKNOWN'],
    ['/v2/none/tags/list', 404, 'NAME_UNKNOWN'],
    ['/v2/web/tags/list?n=-1', 400, 'UNSUPPORTED'],
    ['/v2/_catalog?n=x', 400, 'UNSUPPORTED'],
    ['/v2/web/tags/list?n=1.5', 400, 'UNSUPPORTED'],
    ['/v2/_catalog?n=1&n=2', 400, 'UNSUPPORTED'],
  ]
  for (const [url, status, code] of cases) {
    const answer = await app.inject(url)
    t.equal(answer.statusCode, status, url)
    t.match(answer.json(), { errors: [{ code, message: String, detail: Object }] }, url)
    t.match(answer.headers['content-type'], /^application\/json/)
    t.equal(answer.headers.etag, undefined)
    t.equal((await app.inject({ method: 'HEAD', url })).statusCode, status, `HEAD ${url}`)
  }
})

t.test('writing is refused with a reason, whatever is sent', async t => {
  const { app } = start(t)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const) {
    const answer = await app.inject({
      method,
      url: '/v2/web/blobs/uploads/',
      headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
      payload: method === 'DELETE' ? '' : 'x'.repeat(5000),
    })
    t.equal(answer.statusCode, 405, method)
    t.equal(answer.headers.allow, 'GET, HEAD')
    t.match(answer.json(), { errors: [{ code: 'UNSUPPORTED', message: /read-only/ }] })
  }
})

t.test('tags and catalog come in pages', async t => {
  const { app, store } = start(t)
  const sample = image()
  for (const tag of ['c', 'a', 'b', '1.0']) store.add('mecm/web', sample, tag)
  store.add('app', sample, 'x')
  t.same((await app.inject('/v2/mecm/web/tags/list')).json(), { name: 'mecm/web', tags: ['1.0', 'a', 'b', 'c'] })
  const first = await app.inject('/v2/mecm/web/tags/list?n=2')
  t.same(first.json().tags, ['1.0', 'a'])
  t.equal(first.headers.link, '</v2/mecm/web/tags/list?n=2&last=a>; rel="next"')
  const second = await app.inject('/v2/mecm/web/tags/list?n=2&last=a')
  t.same(second.json().tags, ['b', 'c'])
  t.equal(second.headers.link, undefined)
  const none = await app.inject('/v2/mecm/web/tags/list?n=0')
  t.same(none.json().tags, [])
  t.equal(none.headers.link, undefined)
  const catalog = await app.inject('/v2/_catalog?n=1')
  t.same(catalog.json(), { repositories: ['app'] })
  t.equal(catalog.headers.link, '</v2/_catalog?n=1&last=app>; rel="next"')
  t.same((await app.inject('/v2/_catalog?n=1&last=app')).json(), { repositories: ['mecm/web'] })
})

t.test('a page has a limit of its own', async t => {
  const { app, store } = start(t)
  const sample = image()
  for (let number = 0; number < 1100; number += 1) store.add('web', sample, `t${String(number).padStart(4, '0')}`)
  for (const n of ['100000', '9223372036854775807', '9'.repeat(300)]) {
    const page = await app.inject(`/v2/web/tags/list?n=${n}`)
    t.equal(page.json().tags.length, 1000)
    t.equal(page.headers.link, '</v2/web/tags/list?n=1000&last=t0999>; rel="next"')
  }
})

t.test('referrers: all, filtered, none', async t => {
  const { app, store } = start(t)
  const signed = withReferrers(image())
  store.add('web', signed, 'v1')
  const { digest } = signed.root.descriptor
  const all = await app.inject(`/v2/web/referrers/${digest}`)
  t.equal(all.headers['content-type'], mediaTypes.ociIndex)
  t.equal(all.headers['oci-filters-applied'], undefined)
  t.match(all.json(), { schemaVersion: 2, mediaType: mediaTypes.ociIndex })
  t.equal(all.json().manifests.length, 2)
  const filtered = await app.inject(`/v2/web/referrers/${digest}?artifactType=application%2Fspdx%2Bjson`)
  t.equal(filtered.headers['oci-filters-applied'], 'artifactType')
  t.match(filtered.json().manifests, [{ artifactType: 'application/spdx+json', annotations: Object }])
  const unknown = digestOf(Buffer.from('unknown'))
  for (const url of [`/v2/web/referrers/${unknown}`, `/v2/nowhere/referrers/${unknown}`]) {
    const none = await app.inject(url)
    t.equal(none.statusCode, 200)
    t.same(none.json().manifests, [])
  }
})

t.test('many referrers come in pages, each small enough for a reader', async t => {
  const { app, store } = start(t)
  const subject = image()
  store.add('web', subject, 'v1')
  const one = artifact({ subject: subject.root.descriptor })
  const found = Array.from({ length: 60 }, (_, number) => ({
    ...one.root.descriptor,
    digest: digestOf(Buffer.from(`${number}`)),
    annotations: { text: 'x'.repeat(100_000) },
  }))
  store.referrers = () => found
  const seen: string[] = []
  let url: string | undefined = `/v2/web/referrers/${subject.root.descriptor.digest}`
  for (let pages = 0; url !== undefined && pages < 10; pages += 1) {
    const answer: Awaited<ReturnType<typeof app.inject>> = await app.inject(url)
    t.ok(answer.rawPayload.length < 4 * 1024 * 1024)
    seen.push(...answer.json().manifests.map((descriptor: { digest: string }) => descriptor.digest))
    url = /<([^>]+)>; rel="next"/.exec(String(answer.headers.link ?? ''))?.[1]
  }
  t.same(
    seen,
    found.map(descriptor => descriptor.digest),
  )
})

t.test('a mirror may say which registry it stands in for', async t => {
  const lines: string[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) })
  const { app, store } = start(t, logger)
  const sample = image()
  store.add('mecm/web', sample, 'v1')
  const [blob] = sample.blobs.keys()
  for (const path of ['manifests/v1', `blobs/${blob}`, 'tags/list']) {
    const url = `/v2/mecm/web/${path}?ns=registry.mecm.example`
    t.equal((await app.inject(url)).statusCode, 200)
    t.match(JSON.parse(lines.at(-1) ?? ''), { method: 'GET', url, status: 200, ms: Number }, 'and it is in the log')
  }
})

t.test('a blob whose file is gone is unknown, not a fault of the server', async t => {
  const { app, store } = start(t)
  const bytes = Buffer.from('lost')
  const digest = digestOf(bytes)
  store.addBlob('web', digest, bytes)
  store.damage(digest, undefined)
  const answer = await app.inject(`/v2/web/blobs/${digest}`)
  t.equal(answer.statusCode, 404)
  t.match(answer.json(), { errors: [{ code: 'BLOB_UNKNOWN' }] })
})

t.test('a fault of the store is a 500 that tells nothing of the inside', async t => {
  const { app, store } = start(t)
  store.findTag = () => {
    throw new Error('SELECT secret FROM somewhere')
  }
  const answer = await app.inject('/v2/web/manifests/v1')
  t.equal(answer.statusCode, 500)
  t.match(answer.json(), { errors: [{ code: 'UNKNOWN' }] })
  t.notMatch(answer.body, /secret/)
})
