import t from 'tap'
import { IndexWriter } from '../../src/store/index-writer.ts'
import { silent } from '../fixtures/state-folder.ts'

t.test('many changes are one write; a change during a write is another', async t => {
  const awake = setInterval(() => {}, 1000) // the writer's own timer keeps no process from ending
  t.teardown(() => clearInterval(awake))
  const started: PromiseWithResolvers<void>[] = [Promise.withResolvers(), Promise.withResolvers()]
  const finish = Promise.withResolvers<void>()
  let writes = 0
  const writer = new IndexWriter({
    delayMs: 1,
    logger: silent,
    write: async () => {
      started[writes++]?.resolve()
      await finish.promise
    },
  })
  for (let i = 0; i < 1000; i++) writer.changed()
  await started[0]?.promise
  t.equal(writes, 1)
  writer.changed()
  writer.changed()
  finish.resolve()
  await started[1]?.promise
  await writer.stop()
  t.equal(writes, 2)
})

t.test('stop writes what is outstanding, once, and nothing without a change', async t => {
  let writes = 0
  const writer = new IndexWriter({
    delayMs: 60_000,
    logger: silent,
    write: async () => {
      writes++
    },
  })
  writer.changed()
  await writer.stop()
  await writer.stop()
  t.equal(writes, 1)
  writer.changed()
  await writer.stop()
  t.equal(writes, 2, 'a change that came late is not lost')
})

t.test('a write that fails is not the end of a stop, nor of the file', async t => {
  let writes = 0
  const writer = new IndexWriter({
    delayMs: 60_000,
    logger: silent,
    write: async () => {
      writes++
      throw new Error('no space')
    },
  })
  writer.changed()
  await writer.stop()
  await writer.stop()
  t.equal(writes, 2, 'still outstanding')
})
