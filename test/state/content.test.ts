import t from 'tap'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { ContentRows, type ManifestRecord } from '../../src/state/content.ts'
import { openTestState } from '../fixtures/state-folder.ts'

const digest = (name: string) => digestOf(Buffer.from(name))

function record(repository: string, name: string, subject?: Digest): ManifestRecord {
  return {
    repository,
    descriptor: { mediaType: mediaTypes.ociManifest, digest: digest(name), size: 10, annotations: { name } },
    contentSize: 100,
    children: [],
    blobs: [],
    subject,
  }
}

t.test('a transaction that throws changes nothing', async t => {
  const rows = new ContentRows(openTestState(t).db)
  t.throws(
    () =>
      rows.transaction(() => {
        rows.addManifest(record('mecm/web', 'image'))
        throw new Error('midway')
      }),
    /midway/,
  )
  t.same(rows.repositories(undefined, 10), [])
})

t.test('a transaction waits for the disk unless it is told not to', async t => {
  const { db } = openTestState(t)
  const rows = new ContentRows(db)
  const synchronous = () => db.pragma('synchronous', { simple: true })
  const [normal, full] = [1, 2]
  t.equal(rows.transaction(synchronous), full)
  t.equal(rows.transaction(synchronous, { waits: false }), normal)
  t.equal(synchronous(), full)
})

t.test('a tag can not point at a manifest that its repository lacks', async t => {
  const rows = new ContentRows(openTestState(t).db)
  rows.addManifest(record('mecm/web', 'image'))
  t.throws(() => rows.setTag('mecm/db', '1', digest('image'), 'here'), { code: 'SQLITE_CONSTRAINT_FOREIGNKEY' })
})

t.test('the same manifest again is the same row', async t => {
  const rows = new ContentRows(openTestState(t).db)
  for (let i = 0; i < 2; i++) rows.addManifest(record('a', 'signature', digest('image')))
  t.match(rows.referrers('a', digest('image')), [{ digest: digest('signature'), annotations: { name: 'signature' } }])
  t.equal(rows.mediaTypeOf(digest('signature')), mediaTypes.ociManifest)
  t.equal(rows.mediaTypeOf(digest('absent')), undefined)
})
