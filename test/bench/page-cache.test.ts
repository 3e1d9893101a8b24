import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { emptyFiles, readThrough, writeOut } from '../../bench/page-cache.ts'

const never = new AbortController().signal

t.test('every file below a folder is read, to its end', async t => {
  const dir = t.testdir({ 'one-byte': '1', empty: '', deep: { er: {} } })
  writeFileSync(join(dir, 'deep/er/large'), Buffer.alloc(2 * 1024 * 1024 + 1))
  mkdirSync(join(dir, 'deep/nothing'))
  t.equal(await readThrough(dir, never), 1 + 2 * 1024 * 1024 + 1)
})

t.test('reading ends with its signal', async t => {
  const dir = t.testdir({ file: '1' })
  await t.rejects(readThrough(dir, AbortSignal.abort(new Error('interrupted'))), { message: 'interrupted' })
})

t.test('a folder is written out, and one that is not there is told of', async t => {
  const dir = t.testdir({ file: '1' })
  await t.resolves(writeOut(dir, never))
  await t.rejects(writeOut(join(dir, 'nowhere'), never), { message: /nowhere/ })
})

t.test('emptied files stay', async t => {
  const dir = t.testdir({ file: '1', deep: { er: { file: '22' } } })
  await emptyFiles(dir)
  t.same([statSync(join(dir, 'file')).size, statSync(join(dir, 'deep/er/file')).size], [0, 0])
})
