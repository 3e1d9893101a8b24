/** Which source a blob comes from, and what becomes of those that stall, die or lie. */
import t from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { ImageError } from '../../src/oci/errors.ts'
import { HealthRows } from '../../src/state/source-health.ts'
import { SourceHealth } from '../../src/transfer/source-health.ts'
import {
  type Answer,
  blob,
  build,
  bytes,
  cutAfter,
  hangsAfter,
  lies,
  options,
  refuses,
  request,
  rest,
  scripted,
} from '../fixtures/scripted-upstream.ts'
import { openTestState } from '../fixtures/state-folder.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

const MiB = 1024 * 1024
const start = '2026-01-05T08:00:00Z'
const mirrored = request('up.example/a:1', ['mirror.example/b'])

/** Large blobs, each other than the others. */
function large(count: number, size = 2 * MiB): { blob: Descriptor; bytes: Uint8Array }[] {
  return Array.from({ length: count }, (_, at) => {
    const content = Buffer.alloc(size, at + 1)
    return { blob: { ...blob, digest: digestOf(content), size }, bytes: content }
  })
}

/** Sends large blobs at so many bytes a second of the virtual clock. */
function atRate(clock: VirtualClock, rate: number, blobs: ReturnType<typeof large>): Answer {
  return (offset, signal, wanted) => {
    const found = blobs.find(each => each.blob.digest === wanted.digest)
    if (!found) throw new ImageError('BLOB_UNKNOWN', 'not here')
    return {
      offset,
      body: (async function* () {
        for (let at = offset; at < wanted.size; at += 256 * 1024) {
          await clock.pass((256 * 1024 * 1000) / rate)
          signal.throwIfAborted()
          yield found.bytes.subarray(at, at + 256 * 1024)
        }
      })(),
    }
  }
}

t.test('a faster mirror is found, used, and known after a restart', async t => {
  const clock = new VirtualClock(start)
  const state = openTestState(t)
  const blobs = large(10)
  const up = scripted('up.example', atRate(clock, MiB, blobs))
  const mirror = scripted('mirror.example', atRate(clock, 8 * MiB, blobs))
  const health = new SourceHealth({ rows: new HealthRows(state.db), clock })
  const { fetcher, ledger } = build([up, mirror], { health })
  for (const each of blobs.slice(0, 6)) await fetcher.fetch(each.blob, mirrored, options().fetch)
  t.same([up.asked.length, mirror.asked.length], [1, 5], 'its own first, then the one that was tried out')
  const [own, other] = ['up.example', 'mirror.example'].map(host => ledger.list().find(each => each.host === host))
  t.match(own, { goodput: MiB, restingUntil: null, why: null })
  t.match(other, { goodput: 8 * MiB })
  health.stop()

  const reborn = new SourceHealth({ rows: new HealthRows(state.db), clock })
  reborn.start()
  const again = build([up, mirror], { health: reborn })
  await again.fetcher.fetch(blobs[6]?.blob ?? blob, mirrored, options().fetch)
  t.same([up.asked.length, mirror.asked.length], [1, 6])
})

t.test('a slow mirror costs one short trial, and no byte twice', async t => {
  const clock = new VirtualClock(start)
  const blobs = large(6, 4 * MiB)
  const up = scripted('up.example', atRate(clock, 8 * MiB, blobs))
  const mirror = scripted('mirror.example', atRate(clock, MiB / 4, blobs))
  const { fetcher } = build([up, mirror], { health: new SourceHealth({ clock }) })
  let received = 0
  for (const each of blobs) {
    const { fetch, seen } = options()
    await fetcher.fetch(each.blob, mirrored, fetch)
    received += seen.received
  }
  t.same(mirror.asked, [0])
  t.same(up.asked.map(Boolean), [false, true, false, false, false, false], 'the second went on where the trial ended')
  t.equal(received, 6 * 4 * MiB)
})

t.test('a mirror that is not much faster is not preferred', async t => {
  const clock = new VirtualClock(start)
  const blobs = large(5)
  const up = scripted('up.example', atRate(clock, 4 * MiB, blobs))
  const mirror = scripted('mirror.example', atRate(clock, 4.5 * MiB, blobs))
  const { fetcher } = build([up, mirror], { health: new SourceHealth({ clock }) })
  for (const each of blobs) await fetcher.fetch(each.blob, mirrored, options().fetch)
  t.same([up.asked.length, mirror.asked.length], [4, 1])
})

t.test('a source that dies costs one time-out: what waits for it leaves, what comes after does not ask', async t => {
  const clock = new VirtualClock(start)
  const health = new SourceHealth({ clock })
  const gate = Promise.withResolvers<void>()
  const waiting: AbortSignal[] = []
  const dead: Answer = (offset, signal) => {
    waiting.push(signal)
    const isFirst = waiting.length === 1
    return {
      offset,
      body: (async function* () {
        if (isFirst) await gate.promise
        else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        if (isFirst) throw new ImageError('TIMEOUT', 'no answer')
        yield bytes
      })(),
    }
  }
  const blobs = large(6)
  const up = scripted('up.example', dead)
  const mirror = scripted('mirror.example', atRate(clock, MiB, blobs))
  const { fetcher, ledger } = build([up, mirror], { health, slots: 4 })
  const all = Promise.all(blobs.map(each => fetcher.fetch(each.blob, mirrored, options().fetch)))
  while (waiting.length < 4) await new Promise(resolve => setImmediate(resolve))
  gate.resolve()
  await all
  t.equal(up.asked.length, 4, 'those that were under way, and no more')
  t.equal(waiting.slice(1).filter(signal => signal.aborted).length, 3)
  t.equal(mirror.asked.length, 6)
  t.match(
    ledger.list().find(each => each.host === 'up.example'),
    { why: /^TIMEOUT: / },
  )

  await clock.pass(61_000)
  t.notOk(health.rests('up.example'), 'after its rest it is asked again')
  health.failed('up.example', new ImageError('TIMEOUT', 'again'))
  t.equal(health.restLeft('up.example'), 120_000, 'and rests longer')
})

t.test('the only source of a plan is asked again and again, resting or not', async t => {
  const up = scripted('up.example', refuses('UNAVAILABLE'), refuses('UNAVAILABLE'), rest)
  const { fetcher } = build([up])
  await fetcher.fetch(blob, request(), options().fetch)
  t.equal(up.asked.length, 3)
})

t.test('a dead mirror is not asked again for each blob that only it may have', async t => {
  const up = scripted('up.example', refuses('BLOB_UNKNOWN'))
  const mirror = scripted('mirror.example', refuses('TIMEOUT'))
  const { fetcher } = build([up, mirror])
  for (const { blob } of large(4)) {
    await t.rejects(fetcher.fetch(blob, mirrored, options().fetch), { code: 'UNAVAILABLE', host: 'mirror.example' })
  }
  t.same([up.asked.length, mirror.asked.length], [4, 1])
})

t.test('a source that wants to be left alone is, while another goes on at once', async t => {
  const clock = new VirtualClock(start)
  const busy: Answer = () => {
    throw new ImageError('TOOMANYREQUESTS', 'slow down', { retryAfterMs: 600_000 })
  }
  const up = scripted('up.example', busy)
  const mirror = scripted('mirror.example', rest)
  const { fetcher, health } = build([up, mirror], { health: new SourceHealth({ clock }) })
  await fetcher.fetch(blob, mirrored, options().fetch)
  t.same([up.asked, mirror.asked], [[0], [0]])
  t.equal(health.restLeft('up.example'), 600_000)
})

t.test('a stalled source is left in mid-blob, and the next one goes on there', async t => {
  const stalls: Answer = offset => ({
    offset,
    body: (async function* () {
      yield bytes.subarray(offset, offset + 40)
      throw new ImageError('STALLED', 'silence')
    })(),
  })
  const up = scripted('up.example', stalls)
  const mirror = scripted('mirror.example', rest)
  const { fetcher, health } = build([up, mirror])
  const { fetch, seen } = options()
  await fetcher.fetch(blob, mirrored, fetch)
  t.same([up.asked, mirror.asked], [[0], [40]])
  t.equal(seen.received, 100)
  t.ok(health.rests('up.example'))
})

t.test('a source that lied alone is put aside, is told of, and is asked again only hours later', async t => {
  const clock = new VirtualClock(start)
  const state = openTestState(t)
  const rows = new HealthRows(state.db)
  const up = scripted('up.example', lies, rest)
  const mirror = scripted('mirror.example', rest)
  const { fetcher, ledger, local } = build([up, mirror], { health: new SourceHealth({ clock, rows }) })
  const notes = await fetcher.fetch(blob, mirrored, options().fetch)
  t.match(notes, [/^up\.example sent content that is not sha256:.*until 2026-01-05T14:00:00/])
  t.match(
    ledger.list().find(each => each.host === 'up.example'),
    {
      why: /sent content/,
      restingUntil: '2026-01-05T14:00:00.000Z',
      lastError: { code: 'DIGEST_MISMATCH' },
    },
  )
  local.blobs.clear()
  const reborn = new SourceHealth({ clock, rows })
  reborn.start()
  const later = build([up, mirror], { health: reborn })
  await later.fetcher.fetch(blob, mirrored, options().fetch)
  t.same([up.asked.length, mirror.asked.length], [1, 2], 'after a restart, too')
  await clock.pass(6 * 60 * 60_000)
  later.local.blobs.clear()
  await later.fetcher.fetch(blob, mirrored, options().fetch)
  t.same([up.asked.length, mirror.asked.length], [2, 2])
})

t.test('when several brought wrong content together, one alone shows who lied', async t => {
  for (const liar of ['first', 'second'] as const) {
    const half: Answer = offset => ({
      offset,
      body: (async function* () {
        yield liar === 'first' ? Buffer.alloc(40) : bytes.subarray(0, 40)
        throw new ImageError('UNAVAILABLE', 'cut')
      })(),
    })
    const up = scripted('up.example', half, liar === 'first' ? lies : rest)
    const mirror = scripted('mirror.example', liar === 'second' ? lies : rest)
    const { fetcher, local, health } = build([up, mirror])
    const { fetch, seen } = options()
    await fetcher.fetch(blob, mirrored, fetch)
    t.same(local.blobs.get(blob.digest), bytes, liar)
    t.equal(health.isAside('up.example'), liar === 'first')
    t.equal(health.isAside('mirror.example'), liar === 'second')
    t.ok(seen.received <= 300, `${seen.received} bytes received`)
  }
})

t.test('in search of a liar, no source goes on with what another brought', async t => {
  const up = scripted('up.example', cutAfter(40), refuses('UNAVAILABLE'))
  const mirror = scripted('mirror.example', lies, cutAfter(50), refuses('UNAVAILABLE'))
  const third = scripted('third.example', refuses('UNAVAILABLE'), rest)
  const { fetcher, local } = build([up, mirror, third])
  const wish = request('up.example/a:1', ['mirror.example/b', 'third.example/c'])
  const outcome = await fetcher.fetch(blob, wish, options().fetch).then(
    () => 'done',
    error => error.code,
  )
  t.ok(['done', 'UNAVAILABLE'].includes(outcome))
  if (outcome === 'done') t.same(local.blobs.get(blob.digest), bytes)
  const resumed = third.asked.filter(offset => offset > 0)
  t.same(resumed, [], 'the third began anew')
})

t.test('a trial that brings nothing ends soon, and the source rests', async t => {
  const clock = new VirtualClock(start)
  const health = new SourceHealth({ clock })
  const blobs = large(3)
  const up = scripted('up.example', atRate(clock, MiB, blobs))
  const begun = Promise.withResolvers<void>()
  const mirror = scripted('mirror.example', hangsAfter(0, begun.resolve))
  const { fetcher } = build([up, mirror], { health })
  const [first, second] = blobs
  if (!first || !second) throw new Error('no blobs')
  await fetcher.fetch(first.blob, mirrored, options().fetch)
  const fetching = fetcher.fetch(second.blob, mirrored, options().fetch)
  await begun.promise
  await clock.pass(10_000)
  await fetching
  t.same([up.asked.length, mirror.asked.length], [2, 1])
  t.ok(health.rests('mirror.example'))
})

t.test('tags are asked of the source that the plan names, however slow', async t => {
  const clock = new VirtualClock(start)
  const health = new SourceHealth({ clock })
  const up = scripted('up.example', rest)
  const mirror = scripted('mirror.example', rest)
  const { sources } = build([up, mirror], { health })
  health.putAside('up.example', 'lied')
  const asked: string[] = []
  await sources.ask(mirrored, new AbortController().signal, async ({ upstream }) => asked.push(upstream.host))
  health.failed('up.example', new ImageError('TIMEOUT', 'no answer'))
  await sources.ask(mirrored, new AbortController().signal, async ({ upstream }) => asked.push(upstream.host))
  t.same(asked, ['up.example', 'mirror.example'], 'unless it does not answer')
})

t.test('few writes: one a minute for a host, and what is pending at the stop', async t => {
  const clock = new VirtualClock(start)
  let writes = 0
  const rows = { list: () => [], put: () => void writes++ }
  const health = new SourceHealth({ clock, rows })
  for (let at = 0; at < 100; at++) {
    const attempt = health.begin('up.example', { measured: true, mayLeave: () => false })
    await clock.pass(100)
    attempt.received(MiB)
    attempt.end()
  }
  t.equal(writes, 1)
  await clock.pass(60_000)
  t.equal(writes, 2)
  t.equal(clock.timers, 0)
  const attempt = health.begin('up.example', { measured: true, mayLeave: () => false })
  await clock.pass(100)
  attempt.received(MiB)
  attempt.end()
  health.stop()
  t.equal(writes, 3)
  t.equal(clock.timers, 0)
})

t.test('rows are bounded, and a clock that jumps back keeps nobody resting for long', async t => {
  const clock = new VirtualClock(start)
  const state = openTestState(t)
  const health = new SourceHealth({ clock, rows: new HealthRows(state.db) })
  for (let at = 0; at < 300; at++) {
    await clock.pass(1)
    health.failed(`host-${at}.example`, new ImageError('DNS', 'no such name'))
  }
  t.equal(new HealthRows(state.db).list().length, 200)
  t.equal(health.hosts().length, 200)
  t.ok(health.rests('host-299.example'))
  clock.jump('2025-01-01T00:00:00Z')
  t.notOk(health.rests('host-299.example'))
})
