import t from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { type ErrorCode, ImageError } from '../../src/oci/errors.ts'
import { readWindow } from '../../src/oci/time-window.ts'
import { Link } from '../../src/transfer/link/link.ts'
import { SourceHealth } from '../../src/transfer/source-health.ts'
import {
  type Answer,
  blob,
  build,
  bytes,
  chunks,
  cutAfter,
  lies,
  options,
  refuses,
  request,
  rest,
  scripted,
  whole,
} from '../fixtures/scripted-upstream.ts'
import { silent } from '../fixtures/state-folder.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

t.test('a cut transfer goes on at the byte where it stopped', async t => {
  const up = scripted('up.example', cutAfter(30), cutAfter(20), rest)
  const { fetcher, local } = build([up])
  const { seen, fetch } = options()
  await fetcher.fetch(blob, request(), fetch)
  t.same(up.asked, [0, 30, 50])
  t.same(seen, { received: 100, resumed: 80, retried: 2 })
  t.same(local.blobs.get(blob.digest), bytes)
})

t.test('a source that ignores Range starts anew, and nothing is written twice', async t => {
  const up = scripted('up.example', cutAfter(30), whole)
  const { fetcher, local } = build([up])
  const { seen, fetch } = options()
  await fetcher.fetch(blob, request(), fetch)
  t.equal(seen.received, 130, 'what crossed the wire is counted')
  t.same(local.blobs.get(blob.digest), bytes)
})

t.test('several callers share one transfer; the failure of it is forgotten', async t => {
  const up = scripted('up.example', refuses('BLOB_UNKNOWN'), rest)
  const { fetcher } = build([up])
  const [a, b] = [options(), options()]
  const outcomes = await Promise.allSettled([
    fetcher.fetch(blob, request(), a.fetch),
    fetcher.fetch(blob, request(), b.fetch),
  ])
  t.match(outcomes, [
    { status: 'rejected', reason: { code: 'BLOB_UNKNOWN', side: 'upstream', host: 'up.example' } },
    { status: 'rejected' },
  ])
  t.same(up.asked, [0])
  await fetcher.fetch(blob, request(), a.fetch)
  t.same(up.asked, [0, 0])
})

t.test(
  'one caller leaves, the other gets its blob; when all leave, the transfer ends and keeps what arrived',
  async t => {
    const gate = Promise.withResolvers<void>()
    const slow: Answer = (offset, signal) => ({
      offset,
      body: (async function* () {
        yield bytes.subarray(offset, offset + 40)
        await Promise.race([gate.promise, new Promise((_, reject) => signal.addEventListener('abort', reject))])
        yield bytes.subarray(offset + 40)
      })(),
    })
    const up = scripted('up.example', slow)
    const { fetcher, local } = build([up])
    const [a, b] = [options(), options()]
    const first = fetcher.fetch(blob, request(), a.fetch)
    const second = fetcher.fetch(blob, request(), b.fetch)
    const reason = new Error('withdrawn')
    setImmediate(() => a.controller.abort(reason))
    await t.rejects(first, reason)
    setImmediate(() => b.controller.abort(reason))
    await t.rejects(second, reason)
    await fetcher.settle()
    t.equal(local.ingests.get(blob.digest)?.byteLength, 40)
    gate.resolve()
    const c = options()
    await fetcher.fetch(blob, request(), c.fetch)
    t.same(up.asked, [0, 40])
    t.same(c.seen, { received: 60, resumed: 40, retried: 0 })
    t.equal(local.collisions, 0)
  },
)

t.test('a caller that leaves at the very moment it comes leaves no transfer behind', async t => {
  const up = scripted('up.example', (offset, signal) => ({
    offset,
    body: (async function* () {
      signal.throwIfAborted()
      yield bytes.subarray(0, 40)
      await new Promise((_, reject) => signal.addEventListener('abort', reject))
    })(),
  }))
  const { fetcher } = build([up])
  const { controller, fetch } = options()
  const fetching = fetcher.fetch(blob, request(), fetch)
  const reason = new Error('withdrawn')
  controller.abort(reason)
  await t.rejects(fetching, reason)
  await fetcher.settle()
})

t.test('content that fails its digest is not kept, is tried once more, and then given up', async t => {
  const liar = scripted('up.example', lies)
  const { fetcher, local } = build([liar])
  const { fetch, seen } = options()
  await t.rejects(fetcher.fetch(blob, request(), fetch), { code: 'DIGEST_MISMATCH' })
  t.same(liar.asked, [0, 0])
  t.equal(seen.received, 200, 'a metered link pays for two tries, not for more')
  t.equal(local.blobs.size + local.ingests.size, 0)
})

t.test('another source goes on where the first one stopped', async t => {
  const up = scripted('up.example', cutAfter(30), refuses('UNAVAILABLE'))
  const mirror = scripted('mirror.example', rest)
  const { fetcher } = build([up, mirror])
  await fetcher.fetch(blob, request('up.example/a:1', ['mirror.example/b']), options().fetch)
  t.same([up.asked, mirror.asked], [[0], [30]])
})

t.test('the refusal of one plan’s registry is not the other plan’s', async t => {
  const closed = scripted('closed.example', refuses('UNAUTHORIZED'))
  const open = scripted('open.example', rest)
  const { fetcher } = build([closed, open])
  await Promise.all([
    fetcher.fetch(blob, request('closed.example/a:1'), options().fetch),
    fetcher.fetch(blob, request('open.example/a:1'), options().fetch),
  ])
  t.same([closed.asked, open.asked], [[0], [0]])
})

t.test('a dead source is given up after a bounded number of tries', async t => {
  const up = scripted('up.example', refuses('UNAVAILABLE'))
  const { fetcher } = build([up])
  await t.rejects(fetcher.fetch(blob, request(), options().fetch), { code: 'UNAVAILABLE' })
  t.equal(up.asked.length, 5)
})

/** An upstream's answer while the link is down: a second passes, and it fails. */
const downFor =
  (clock: VirtualClock, code: ErrorCode = 'UNAVAILABLE'): Answer =>
  offset => ({
    offset,
    body: {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          await clock.pass(1_000)
          throw new ImageError(code, 'no way')
        },
      }),
    },
  })

t.test('a short outage is waited for where the transfer is', async t => {
  const clock = new VirtualClock(0)
  const down = Array.from({ length: 12 }, () => downFor(clock))
  const up = scripted('up.example', cutAfter(30), ...down, rest)
  const { fetcher, local } = build([up], { health: new SourceHealth({ clock }) })
  await fetcher.fetch(blob, request(), options().fetch)
  t.same(up.asked, [0, ...down.map(() => 30), 30])
  t.same(local.blobs.get(blob.digest), bytes)
})

t.test('a long outage is for the plan, which waits longer each time', async t => {
  const clock = new VirtualClock(0)
  const up = scripted('up.example', cutAfter(30), downFor(clock))
  const { fetcher } = build([up], { health: new SourceHealth({ clock }) })
  await t.rejects(fetcher.fetch(blob, request(), options().fetch), { code: 'UNAVAILABLE' })
  t.equal(up.asked.length, 31, 'half a minute')
  await t.rejects(fetcher.fetch(blob, request(), options().fetch), { code: 'UNAVAILABLE' })
  t.equal(up.asked.length, 36, 'then as with any dead source')
})

t.test('a source that says it is asked too often is not asked as if the link were down', async t => {
  const clock = new VirtualClock(0)
  const up = scripted('up.example', cutAfter(30), downFor(clock, 'TOOMANYREQUESTS'))
  const { fetcher } = build([up], { health: new SourceHealth({ clock }) })
  await t.rejects(fetcher.fetch(blob, request(), options().fetch), { code: 'TOOMANYREQUESTS' })
  t.equal(up.asked.length, 5, 'as often as any source that fails')
})

t.test('a more urgent blob takes the turn; the other one goes on afterwards from its byte', async t => {
  const urgentBytes = Buffer.from('urgent')
  const urgentBlob = { ...blob, digest: digestOf(urgentBytes), size: urgentBytes.byteLength }
  const started = Promise.withResolvers<void>()
  const hanging: Answer = (offset, signal) => ({
    offset,
    body: (async function* () {
      yield bytes.subarray(offset, offset + 40)
      started.resolve()
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })(),
  })
  const up = scripted('up.example', hanging, offset => ({ offset, body: chunks(urgentBytes) }), rest)
  const { fetcher } = build([up])
  const low = options(10)
  const lowDone = fetcher.fetch(blob, request(), low.fetch)
  await started.promise
  await fetcher.fetch(urgentBlob, request(), options(90).fetch)
  await lowDone
  t.same(up.asked, [0, 0, 40])
  t.equal(low.seen.retried, 0, 'giving way is no failure')
})

t.test('a connection that brought much before it broke is followed by the next without a wait', async t => {
  const content = Buffer.alloc(1_000_000, 'x')
  const large: Descriptor = { ...blob, digest: digestOf(content), size: content.byteLength }
  const cut: Answer = offset => ({
    offset,
    body: (async function* () {
      yield content.subarray(offset, offset + 300_000)
      if (offset + 300_000 < content.byteLength) throw new ImageError('UNAVAILABLE', 'cut')
    })(),
  })
  const up = scripted('up.example', cut)
  const { fetcher } = build([up], { backoff: { firstMs: 600_000, maxMs: 600_000 } })
  const { seen, fetch } = options()
  await fetcher.fetch(large, request(), fetch)
  t.same(up.asked, [0, 300_000, 600_000, 900_000])
  t.equal(seen.retried, 3)
})

t.test("the next blob's bytes come while the disk makes sure of the one before", async t => {
  const others = Buffer.from('abcdefghij')
  const other: Descriptor = { ...blob, digest: digestOf(others), size: others.byteLength }
  const asked = Promise.withResolvers<void>()
  const up = scripted('up.example', rest, offset => {
    asked.resolve()
    return { offset, body: chunks(others) }
  })
  const { fetcher, local } = build([up])
  const openIngest = local.openIngest.bind(local)
  local.openIngest = async wanted => {
    const ingest = await openIngest(wanted)
    if (wanted.digest !== blob.digest) return ingest
    const { commit } = ingest
    return Object.assign(ingest, { commit: () => asked.promise.then(commit) })
  }
  await Promise.all([fetcher.fetch(blob, request(), options().fetch), fetcher.fetch(other, request(), options().fetch)])
  t.same([...local.blobs.values()].map(String).sort(), [String(bytes), String(others)].sort())
})

/** A link that is closed until one in the morning. */
function closedLink(): Link {
  const windows = [readWindow({ from: '01:00', to: '05:00', timezone: 'UTC' })]
  return new Link({ logger: silent, clock: new VirtualClock('2026-11-21T12:00:00Z'), windows })
}

t.test('a blob of which only the commit is missing is put in place at once, without the link', async t => {
  const up = scripted('up.example', rest)
  const { fetcher, local } = build([up], { link: closedLink() })
  local.ingests.set(blob.digest, bytes)
  const { seen, fetch } = options()
  await fetcher.fetch(blob, request(), fetch)
  t.same(up.asked, [])
  t.same(seen, { received: 0, resumed: 100, retried: 0 })
  t.same(local.blobs.get(blob.digest), bytes)
})

t.test('what lacks its last byte waits for the link', async t => {
  const up = scripted('up.example', rest)
  const { fetcher, local } = build([up], { link: closedLink() })
  local.ingests.set(blob.digest, bytes.subarray(0, 99))
  await t.rejects(fetcher.fetch(blob, request(), options().fetch), { code: 'WINDOW_CLOSED' })
  t.same([up.asked, local.ingests.size], [[], 1])
})

t.test('what has the size of the blob and is not it goes, and the blob is fetched when the link lets it', async t => {
  const other = Buffer.alloc(blob.size)
  const up = scripted('up.example', rest)
  const closed = build([up], { link: closedLink() })
  closed.local.ingests.set(blob.digest, other)
  await t.rejects(closed.fetcher.fetch(blob, request(), options().fetch), { code: 'WINDOW_CLOSED' })
  t.equal(closed.local.ingests.size, 0)

  const open = build([up])
  open.local.ingests.set(blob.digest, other)
  await open.fetcher.fetch(blob, request(), options().fetch)
  t.same(up.asked, [0])
  t.same(open.local.blobs.get(blob.digest), bytes)
})

t.test('an empty blob that is not what its digest says is refused, and not tried for ever', async t => {
  const empty: Descriptor = { ...blob, size: 0 }
  const up = scripted('up.example', () => ({ offset: 0, body: chunks(Buffer.alloc(0)) }))
  const { fetcher } = build([up])
  await t.rejects(fetcher.fetch(empty, request(), options().fetch), { code: 'DIGEST_MISMATCH' })
  t.equal(up.asked.length, 0)
})
