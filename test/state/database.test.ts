import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { openState } from '../../src/state/database.ts'
import { newestVersion } from '../../src/state/migrations.ts'
import { cannotMount, makeReadOnly, mountSmallDisk } from '../fixtures/small-disk.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

const open = (dir: string) => openState(dir, { logger: silent })

t.test('a new folder is made for its owner alone, its database is fresh and durable', async t => {
  const dir = join(t.testdir(), 'var', 'lib', 'agent')
  const state = openTestState(t, dir)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.equal(state.fresh, true)
  t.equal(state.db.pragma('journal_mode', { simple: true }), 'wal')
  t.equal(state.db.pragma('synchronous', { simple: true }), 2, 'FULL')
  t.equal(state.db.pragma('foreign_keys', { simple: true }), 1)
  t.equal(state.db.pragma('cache_size', { simple: true }), -2048, 'KiB of the file in memory, however large it becomes')
  t.equal(state.db.pragma('user_version', { simple: true }), newestVersion)
})

t.test('what was committed is there at the next opening', async t => {
  const dir = t.testdir()
  const first = open(dir)
  first.db.prepare('INSERT INTO placements (repository, digest) VALUES (?, ?)').run('mecm/web', 'sha256:00')
  first.close()
  first.close() // closing twice is harmless
  const second = openTestState(t, dir)
  t.equal(second.fresh, false)
  t.same(second.db.prepare('SELECT repository FROM placements').all(), [{ repository: 'mecm/web' }])
})

t.test('a folder that another process holds is refused with its pid, until that process is killed', async t => {
  const dir = t.testdir()
  const holder = await holdState(t, dir)
  t.throws(() => open(dir), {
    code: 'locked',
    message: new RegExp(`in use by process ${holder.pid}$`),
    hint: /Another/,
  })
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  t.ok(existsSync(join(dir, 'agent.pid')), 'nobody cleaned up')
  openTestState(t, dir)
  t.equal(readFileSync(join(dir, 'agent.pid'), 'utf8'), `${process.pid}\n`)
})

t.test('the same process can not open a folder twice, and a failed try does not lose the lock', async t => {
  const dir = t.testdir()
  openTestState(t, dir)
  t.throws(() => open(dir), { code: 'locked' })
  t.throws(() => open(dir), { code: 'locked' })
})

t.test('a holder whose pid is not known is still refused', async t => {
  const dir = t.testdir()
  openTestState(t, dir)
  rmSync(join(dir, 'agent.pid'))
  t.throws(() => open(dir), { code: 'locked', message: /another process$/ })
})

t.test('a database from a newer version is refused with both versions, and stays as it is', async t => {
  const dir = t.testdir()
  open(dir).close()
  const file = join(dir, 'agent.db')
  const newer = new Database(file)
  newer.pragma('user_version = 99')
  newer.close()
  const before = readFileSync(file)
  t.throws(() => open(dir), {
    code: 'newer-version',
    message: new RegExp(`has version 99, .* up to ${newestVersion}$`),
    hint: /newer agent/,
  })
  t.ok(readFileSync(file).equals(before))
  t.notOk(existsSync(join(dir, 'agent.pid')), 'the folder was let go')
})

t.test('a damaged database is told from a missing one', async t => {
  for (const content of ['not a database, but long enough to be mistaken for one'.repeat(100), damaged(t)]) {
    const dir = t.testdir({ 'agent.db': content })
    t.throws(() => open(dir), { code: 'corrupt', hint: /agent\.db-wal/ })
    rmSync(join(dir, 'agent.db'))
    const state = open(dir)
    t.equal(state.fresh, true, 'moved away, it is made anew')
    state.close()
  }
})

t.test('a path that can be no folder is not writable', async t => {
  const dir = t.testdir({ file: 'a file', gone: t.fixture('symlink', 'nowhere') })
  t.throws(() => open(join(dir, 'file')), { code: 'not-writable', hint: /chown/ })
  t.throws(() => open(join(dir, 'file', 'below')), { code: 'not-writable', message: /\(ENOTDIR: not a directory/ })
  t.throws(() => open(join(dir, 'gone', 'below')), { code: 'not-writable' }, 'a link to a disk that is not mounted')
})

t.test('a folder on a read-only disk is not writable', { skip: cannotMount() }, async t => {
  const disk = mountSmallDisk(t, 8 * 1024 * 1024)
  open(disk).close()
  makeReadOnly(disk)
  t.throws(() => open(disk), { code: 'not-writable', message: new RegExp(disk) })
})

t.test('a full disk is told as such', { skip: cannotMount() }, async t => {
  const disk = mountSmallDisk(t, 64 * 1024)
  t.throws(() => open(disk), { code: 'disk-full', hint: /Free space/ })
})

/** A process that holds the folder, ready. */
async function holdState(t: Test, dir: string) {
  const holder = spawn(process.execPath, [join(import.meta.dirname, '../fixtures/hold-state.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  return holder
}

/** A database whose pages after the first were overwritten. */
function damaged(t: Test): Buffer {
  const dir = t.testdir()
  open(dir).close()
  const bytes = readFileSync(join(dir, 'agent.db'))
  return bytes.fill(0x5a, 4096)
}
