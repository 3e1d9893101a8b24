import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { Ingests } from '../../src/state/ingests.ts'
import { BlockBuffers } from '../../src/store/append-file.ts'
import { ContentStore } from '../../src/store/content.ts'
import { BlobIngest } from '../../src/store/ingest.ts'
import { blobPath } from '../../src/store/layout.ts'
import { type ReadAt, SendBuffers } from '../../src/transfer/send-buffers.ts'
import { StagedIngest, type StagedIngestOptions } from '../../src/transfer/staged-ingest.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

const MiB = 1024 * 1024
const bytes = seededBytes('staged', 8 * MiB)
const blob = { mediaType: 'application/x', digest: digestOf(bytes), size: bytes.byteLength }

/** A registry that takes what it is sent, and tells how much that is so far. */
class Taker {
  readonly parts: Buffer[] = []
  begun = 0
  outcome = true
  ended = Promise.withResolvers<boolean>()

  readonly send = async (source: ReadAt): Promise<boolean> => {
    this.begun += 1
    try {
      for await (const chunk of new SendBuffers(new BlockBuffers()).chunks(source, 0))
        this.parts.push(Buffer.from(chunk))
    } catch {
      this.outcome = false
    }
    this.ended.resolve(this.outcome)
    return this.outcome
  }

  get taken(): Buffer {
    return Buffer.concat(this.parts)
  }
}

async function open(t: Test, options: Partial<StagedIngestOptions> = {}) {
  const dir = t.testdir()
  const ingests = new Ingests(openTestState(t, join(dir, 'state')).db)
  const staging = new ContentStore({ root: join(dir, 'staging'), ingests, logger: silent })
  await staging.start()
  const taker = new Taker()
  const again = async () => {
    const ingest = await staging.openIngest(blob)
    if (!(ingest instanceof BlobIngest)) throw new Error('the blob is complete')
    const { signal } = new AbortController()
    return new StagedIngest(ingest, { send: taker.send, mayFollow: () => true, signal, now: () => 0, ...options })
  }
  return { staging, ingests, taker, again, ingest: await again() }
}

async function write(ingest: StagedIngest, content: Buffer, end = content.byteLength): Promise<void> {
  for (let at = ingest.offset; at < end; at += 65_536)
    await ingest.write(content.subarray(at, Math.min(end, at + 65_536)))
}

t.test('a blob that comes fast is sent while it comes, all but its end', async t => {
  const { staging, ingests, taker, ingest } = await open(t)
  await write(ingest, bytes, 6 * MiB)
  t.equal(taker.begun, 1)
  await write(ingest, bytes)
  t.ok(taker.taken.byteLength < bytes.byteLength, 'the last bytes wait for the digest')
  await ingest.commit()
  await ingest.close()
  t.ok(taker.taken.equals(bytes))
  t.equal(await staging.usedBytes(), 0, 'nothing is kept of what the registry has')
  t.same(ingests.list(), [])
})

t.test(
  'a blob is sent once it is complete where it comes slowly, goes on after a cut, or enough others are followed',
  async t => {
    let ms = 0
    const slow = await open(t, { now: () => ms })
    ms = 5_000
    await write(slow.ingest, bytes)
    t.equal(slow.taker.begun, 0)
    await slow.ingest.commit()
    t.ok(slow.taker.taken.equals(bytes))

    const cut = await open(t)
    await write(cut.ingest, bytes, MiB)
    await cut.ingest.close()
    const rest = await cut.again()
    t.equal(rest.offset, MiB)
    await write(rest, bytes)
    t.equal(cut.taker.begun, 0)
    await rest.commit()
    t.ok(cut.taker.taken.equals(bytes))

    let room = false
    const crowded = await open(t, { mayFollow: () => room })
    await write(crowded.ingest, bytes, 6 * MiB)
    t.equal(crowded.taker.begun, 0)
    room = true
    await write(crowded.ingest, bytes)
    t.equal(crowded.taker.begun, 1, 'as soon as there is room')
    await crowded.ingest.commit()
    t.ok(crowded.taker.taken.equals(bytes))
  },
)

t.test('what the registry does not take is kept', async t => {
  const { staging, taker, ingest } = await open(t)
  taker.outcome = false
  await write(ingest, bytes)
  await ingest.commit()
  await ingest.close()
  t.ok(existsSync(blobPath(staging.root, blob.digest)))
  t.equal(await staging.size(blob.digest), bytes.byteLength)
})

t.test('wrong content never goes as a whole', async t => {
  const { staging, taker, ingest } = await open(t)
  await write(ingest, Buffer.alloc(bytes.byteLength))
  await t.rejects(ingest.commit(), { code: 'DIGEST_MISMATCH' })
  await ingest.close()
  t.equal(await taker.ended.promise, false)
  t.ok(taker.taken.byteLength < bytes.byteLength)
  t.equal(await staging.usedBytes(), 0)
})

t.test('an ingest that closes before its end ends its upload, and keeps what came', async t => {
  const { taker, ingest, again } = await open(t)
  await write(ingest, bytes, 6 * MiB)
  await ingest.close()
  t.equal(await taker.ended.promise, false)
  t.equal((await again()).offset, 6 * MiB)
})
