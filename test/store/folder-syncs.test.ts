import t from 'tap'
import { FolderSyncs } from '../../src/store/folder-syncs.ts'

/** Syncs that end when they are told to. */
function scripted() {
  const begun: { readonly path: string; readonly end: PromiseWithResolvers<void> }[] = []
  const folders = new FolderSyncs(path => {
    const end = Promise.withResolvers<void>()
    begun.push({ path, end })
    return end.promise
  })
  return { begun, folders }
}

t.test('who asks while a sync is under way waits for the next one, which serves all of them', async t => {
  const { begun, folders } = scripted()
  const done: string[] = []
  const ask = (name: string) => folders.sync('blobs').then(() => done.push(name))
  const asked = [ask('first'), ask('second'), ask('third')]
  t.equal(begun.length, 1)
  begun[0]?.end.resolve()
  await asked[0]
  t.same(done, ['first'], 'what began before a name was there says nothing of it')
  t.equal(begun.length, 2)
  asked.push(ask('fourth'))
  begun[1]?.end.resolve()
  await Promise.all(asked.slice(0, 3))
  t.same(done, ['first', 'second', 'third'])
  t.equal(begun.length, 3)
  begun[2]?.end.resolve()
  await Promise.all(asked)
  await Promise.all([ask('later'), Promise.resolve().then(() => begun[3]?.end.resolve())])
  t.equal(begun.length, 4, 'one that nobody shares begins at once')
})

t.test('folders wait for themselves alone', async t => {
  const { begun, folders } = scripted()
  const asked = [folders.sync('one'), folders.sync('other')]
  t.same(
    begun.map(({ path }) => path),
    ['one', 'other'],
  )
  for (const { end } of begun) end.resolve()
  await Promise.all(asked)
})

t.test('a failure is told to those whose sync it was, and the next tries again', async t => {
  const { begun, folders } = scripted()
  const first = folders.sync('blobs')
  const second = folders.sync('blobs')
  begun[0]?.end.reject(new Error('the disk is gone'))
  await t.rejects(first, { message: 'the disk is gone' })
  t.equal(begun.length, 2)
  begun[1]?.end.resolve()
  await second
})
