/**
 * OCI distribution-spec 1.1, "Pushing blobs", beyond what programme.test.ts asks: what sessions say of themselves, and the errors, for both
 * algorithms, over a real port and a real disk. Each test's name is the sentence that it holds.
 */
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { Answer } from '../../../fixtures/push-registry.ts'
import { blobOf, codesOf, octets, startPushRegistry, withDigest } from '../../../fixtures/push-registry.ts'

const repository = 'conformance/repo1'
const other = 'conformance/repo2'
const uploads = `/v2/${repository}/blobs/uploads/`

for (const algorithm of ['sha256', 'sha512'] as const) {
  t.test(`${algorithm} blobs`, async t => {
    const { client, store } = await startPushRegistry(t)
    const blob = (name: string, size?: number) => blobOf(`${algorithm}-${name}`, size, algorithm)

    /** The location of a finished push is pullable, with GET and HEAD, and the blob can be deleted then. */
    async function checkStored(t: Test, answer: Answer, { bytes, digest }: { bytes: Buffer; digest: string }) {
      t.equal(answer.status, 201)
      t.ok(answer.headers.location)
      t.equal(answer.headers['docker-content-digest'], digest)
      const pulled = await client.send('GET', answer.headers.location ?? '')
      t.equal(pulled.status, 200)
      t.ok(pulled.body.equals(bytes))
      t.equal(pulled.headers['content-length'], String(bytes.length))
      t.equal(pulled.headers['docker-content-digest'], digest)
      const url = `/v2/${repository}/blobs/${digest}`
      const head = await client.send('HEAD', url)
      t.equal(head.status, 200)
      t.equal(head.headers['content-length'], String(bytes.length))
      t.equal(head.body.length, 0)
      t.equal((await client.send('DELETE', url)).status, 202)
      t.equal((await client.send('HEAD', url)).status, 404, 'gone at once')
      t.equal((await client.send('DELETE', url)).status, 404)
    }

    await t.test('POST is 202 with a location that has a unique id', async t => {
      const first = await client.send('POST', uploads)
      t.equal(first.status, 202)
      t.match(first.headers.location, /\/[0-9a-f]{8}-[0-9a-f-]{27}$/)
      t.equal(first.headers.range, '0-0')
      t.equal(first.headers['docker-upload-uuid'], first.headers.location?.split('/').at(-1))
      t.not((await client.send('POST', uploads)).headers.location, first.headers.location)
      t.equal((await client.send('POST', uploads.slice(0, -1))).status, 202, 'without the last slash')
    })

    for (const lastInPut of [false, true]) {
      await t.test(
        `a chunk out of order is 416, a GET tells where to go on${lastInPut ? ', with PUT' : ''}`,
        async t => {
          const content = blob(`out-of-order-${lastInPut}`, 2048)
          const location = await client.begin(repository)
          const send = (first: number, last: number, method: 'PATCH' | 'PUT' = 'PATCH') =>
            client.send(method, method === 'PUT' ? withDigest(location, content.digest) : location, {
              headers: { ...octets, 'content-range': `${first}-${last}` },
              body: content.bytes.subarray(first, last + 1),
            })
          const early = await send(1024, 2047)
          t.equal(early.status, 416)
          t.same(codesOf(early), ['BLOB_UPLOAD_INVALID'])
          t.match(early.headers, { location, range: '0-0' })
          t.match((await client.send('GET', location)).headers, { location, range: '0-0' })
          t.equal((await send(0, 1023)).status, 202)
          const again = await send(0, 1023)
          t.equal(again.status, 416, 'a chunk that is here already')
          t.equal(again.headers.range, '0-1023')
          t.equal((await send(1025, 2047, lastInPut ? 'PUT' : 'PATCH')).status, 416, 'a gap')
          const status = await client.send('GET', location)
          t.equal(status.status, 204)
          t.match(status.headers, { location, range: '0-1023' })
          if (lastInPut) return await checkStored(t, await send(1024, 2047, 'PUT'), content)
          t.equal((await send(1024, 2047)).status, 202)
          await checkStored(t, await client.send('PUT', withDigest(location, content.digest)), content)
        },
      )
    }

    await t.test('a stream without Content-Range and Content-Length is appended', async t => {
      const content = blob('stream', 5000)
      const location = await client.begin(repository)
      async function* parts() {
        yield content.bytes.subarray(0, 1234)
        yield content.bytes.subarray(1234, 3000)
      }
      const first = await client.send('PATCH', location, { headers: octets, body: Readable.from(parts()) })
      t.equal(first.status, 202)
      t.equal(first.headers.range, '0-2999')
      const rest = await client.send('PATCH', location, { body: content.bytes.subarray(3000) })
      t.equal(rest.headers.range, '0-4999')
      await checkStored(t, await client.send('PUT', withDigest(location, content.digest)), content)
    })

    await t.test('digest-algorithm may be told when a session begins', async t => {
      const content = blob('told')
      const answer = await client.send('POST', `${uploads}?digest-algorithm=${algorithm}`)
      t.equal(answer.status, 202)
      const { location = '' } = answer.headers
      t.equal((await client.send('PATCH', location, { headers: octets, body: content.bytes })).status, 202)
      await checkStored(t, await client.send('PUT', withDigest(location, content.digest)), content)
      const unknown = await client.send('POST', `${uploads}?digest-algorithm=md5`)
      t.equal(unknown.status, 400)
      t.same(codesOf(unknown), ['UNSUPPORTED'])
    })

    await t.test('mounts: from a repository, from wherever it is, from where it is not', async t => {
      const content = blob('mount')
      await client.pushBlob(other, content.bytes, content.digest)
      await checkStored(t, await client.send('POST', `${uploads}?mount=${content.digest}&from=${other}`), content)
      await checkStored(t, await client.send('POST', `${uploads}?mount=${content.digest}`), content)
      t.equal((await client.send('HEAD', `/v2/${other}/blobs/${content.digest}`)).status, 200, 'its source stays')
      for (const query of [`mount=${blob('nowhere').digest}&from=${other}`, `mount=${content.digest}&from=not/here`]) {
        const answer = await client.send('POST', `${uploads}?${query}`)
        t.equal(answer.status, 202, query)
        t.match(answer.headers.location, /uploads\/[0-9a-f-]{36}$/)
      }
      const missing = blob('nowhere')
      const { headers } = await client.send('POST', `${uploads}?mount=${missing.digest}&from=${other}`)
      const location = withDigest(headers.location ?? '', missing.digest)
      await checkStored(t, await client.send('PUT', location, { headers: octets, body: missing.bytes }), missing)
    })

    await t.test('a session can be cancelled', async t => {
      const location = await client.begin(repository)
      await client.send('PATCH', location, { headers: octets, body: Buffer.alloc(100) })
      t.equal((await client.send('DELETE', location)).status, 204)
      for (const method of ['GET', 'PATCH', 'DELETE'] as const) {
        const answer = await client.send(method, location)
        t.equal(answer.status, 404, method)
        t.same(codesOf(answer), ['BLOB_UPLOAD_UNKNOWN'])
      }
      t.equal((await client.send('PUT', withDigest(location, blob('cancelled').digest))).status, 404)
    })

    for (const way of ['POST', 'PUT', 'PATCH', 'chunk in PUT'] as const) {
      await t.test(`bytes that are not the digest are 400: ${way}`, async t => {
        const { digest } = blob(`bad-${way}`, 3000)
        const body = Buffer.concat([blob(`bad-${way}`, 3000).bytes, Buffer.from('oh no')])
        const answer = await pushWrong(t, way, body, digest)
        t.equal(answer.status, 400)
        t.same(codesOf(answer), ['DIGEST_INVALID'])
        t.equal((await client.send('HEAD', `/v2/${repository}/blobs/${digest}`)).status, 404)
      })
    }

    async function pushWrong(t: Test, way: 'POST' | 'PUT' | 'PATCH' | 'chunk in PUT', body: Buffer, digest: string) {
      if (way === 'POST') return await client.send('POST', `${uploads}?digest=${digest}`, { headers: octets, body })
      const location = await client.begin(repository)
      if (way === 'PUT') return await client.send('PUT', withDigest(location, digest), { headers: octets, body })
      const first = way === 'PATCH' ? body : body.subarray(0, 1000)
      await client.send('PATCH', location, { headers: octets, body: first })
      const rest = way === 'PATCH' ? {} : { headers: octets, body: body.subarray(1000) }
      const answer = await client.send('PUT', withDigest(location, digest), rest)
      t.equal((await client.send('GET', location)).status, 404, 'nobody knows what came: the session is gone')
      return answer
    }

    await t.test('a digest that is none is 400, and the session goes on', async t => {
      const content = blob('typo')
      const location = await client.begin(repository)
      await client.send('PATCH', location, { headers: octets, body: content.bytes })
      for (const digest of ['sha256:baddigeststring', 'md5:1234', '']) {
        const answer = await client.send('PUT', withDigest(location, digest))
        t.equal(answer.status, 400)
        t.same(codesOf(answer), ['DIGEST_INVALID'])
      }
      t.same(codesOf(await client.send('PUT', location)), ['DIGEST_INVALID'], 'without any')
      await checkStored(t, await client.send('PUT', withDigest(location, content.digest)), content)
    })

    t.equal(store.uploads.bytes, 0, 'no bytes of uploads are left behind')
  })
}
