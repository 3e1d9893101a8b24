import Database from 'better-sqlite3'
import t from 'tap'
import { migrate, newestVersion } from '../../src/state/migrations.ts'

const version = (db: Database.Database) => db.pragma('user_version', { simple: true })

t.test('an empty database is brought to the newest version, and then left alone', async t => {
  const db = new Database(':memory:')
  migrate(db, 0)
  t.equal(version(db), newestVersion)
  const tables = db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'").get()
  migrate(db, newestVersion)
  t.same(db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'").get(), tables)
})

t.test('a migration that fails leaves nothing of itself', async t => {
  const db = new Database(':memory:')
  db.exec('CREATE TABLE outbox (something_else TEXT)')
  t.throws(() => migrate(db, 0), /outbox already exists/)
  t.equal(version(db), 0)
  t.same(db.prepare('SELECT name FROM sqlite_schema').all(), [{ name: 'outbox' }])
})
