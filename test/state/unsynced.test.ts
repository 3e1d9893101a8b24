import { join } from 'node:path'
import Database from 'better-sqlite3'
import { pino } from 'pino'
import t from 'tap'
import { openState } from '../../src/state/database.ts'
import { withoutSync } from '../../src/state/unsynced.ts'

const full = 2
const normal = 1

t.test('commits at once, and waits for the disk again afterwards', t => {
  const dir = t.testdir()
  const state = openState(dir, { logger: pino({ level: 'silent' }) })
  t.teardown(() => state.close())
  const level = () => state.db.pragma('synchronous', { simple: true })
  state.db.exec('CREATE TABLE notes (text TEXT)')
  const during = withoutSync(state.db, () => {
    state.db.exec("INSERT INTO notes VALUES ('seen by others')")
    return level()
  })
  t.equal(during, normal)
  t.equal(level(), full)
  const other = new Database(join(dir, 'agent.db'), { readonly: true })
  t.teardown(() => other.close())
  t.same(other.prepare('SELECT text FROM notes').pluck().all(), ['seen by others'])

  t.throws(() => withoutSync(state.db, () => state.db.exec('no SQL')))
  t.equal(level(), full, 'after a failure, too')
  t.end()
})

t.test('leaves a transaction that is under way as it is', t => {
  const state = openState(t.testdir(), { logger: pino({ level: 'silent' }) })
  t.teardown(() => state.close())
  const level = () => state.db.pragma('synchronous', { simple: true })
  t.equal(state.db.transaction(() => withoutSync(state.db, level))(), full)
  t.end()
})
