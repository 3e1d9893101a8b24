import t from 'tap'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { ContentRows } from '../../src/state/content.ts'
import { IndexEntries, type IndexEntry } from '../../src/state/index-entries.ts'
import { openTestState } from '../fixtures/state-folder.ts'

const digest = (name: string) => digestOf(Buffer.from(name))

function add(
  rows: ContentRows,
  repository: string,
  name: string,
  { children = [], subject }: { children?: Digest[]; subject?: Digest } = {},
) {
  const descriptor = { mediaType: mediaTypes.ociManifest, digest: digest(name), size: 10 }
  rows.addManifest({ repository, descriptor, contentSize: 100, children, blobs: [], subject })
}

const names = (entries: readonly IndexEntry[]) =>
  entries.map(({ repository, tag, descriptor }) => `${repository}:${tag ?? descriptor.digest}`)

t.test('roots without a tag: not tagged, not listed in the same repository, or a referrer; then the tags', async t => {
  const { db } = openTestState(t)
  const rows = new ContentRows(db)
  add(rows, 'a', 'tagged')
  rows.setTag('a', '1', digest('tagged'), 'here')
  add(rows, 'a', 'child')
  add(rows, 'a', 'list', { children: [digest('child'), digest('absent')] })
  add(rows, 'a', 'signature', { subject: digest('tagged') })
  add(rows, 'b', 'child')
  const roots = ['list', 'signature'].map(name => `a:${digest(name)}`)
  const expected = [...roots.sort(), `b:${digest('child')}`, 'a:1']
  t.same(names([...new IndexEntries(db).pages()].flat()), expected, 'a manifest is a root where its list is not')
})

t.test('however many there are, a page holds a few, and all pages together each of them once', async t => {
  const { db } = openTestState(t)
  const rows = new ContentRows(db)
  rows.transaction(() => {
    for (let at = 0; at < 25; at++) {
      add(rows, `r${at % 3}`, `root ${at}`)
      add(rows, `r${at % 3}`, `image ${at}`)
      rows.setTag(`r${at % 3}`, `tag-${at}`, digest(`image ${at}`), 'here')
    }
  })
  for (const size of [1, 5, 25, 500]) {
    const pages = [...new IndexEntries(db, size).pages()]
    t.ok(Math.max(...pages.map(page => page.length)) <= size)
    t.equal(pages.length, 2 * Math.ceil(25 / size))
    t.equal(new Set(names(pages.flat())).size, 50)
  }
})

t.test('a manifest that gets its tag while the pages are read is told', async t => {
  const { db } = openTestState(t)
  const rows = new ContentRows(db)
  for (const name of ['one', 'two', 'three']) add(rows, 'a', name)
  const told: IndexEntry[] = []
  for (const page of new IndexEntries(db, 1).pages()) {
    if (told.length === 0) for (const name of ['one', 'two', 'three']) rows.setTag('a', name, digest(name), 'here')
    told.push(...page)
  }
  const digests = new Set(told.map(({ descriptor }) => descriptor.digest))
  t.same([...digests].sort(), ['one', 'two', 'three'].map(digest).sort())
})
