import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AccessError } from '../../src/access/errors.ts'
import type { Grant } from '../../src/access/roles.ts'
import { maxLiveTokens, type NewToken, Tokens } from '../../src/access/tokens.ts'
import { openAccess } from '../fixtures/access.ts'
import { silent } from '../fixtures/state-folder.ts'

const by = { who: 'admin', from: '192.0.2.7' }
const viewer: readonly Grant[] = [{ role: 'image-viewer', namespace: '*' }]

t.test('a token lets its owner in, and is stored as a hash alone', async t => {
  const dir = t.testdir()
  const { tokens, state } = openAccess(t, { dir })
  const { id, secret } = tokens.create({ name: 'console', grants: viewer }, by)
  t.match(secret, /^eia_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
  t.strictSame(tokens.verify(secret), { tokenId: id, name: 'console', grants: viewer })
  state.db.pragma('wal_checkpoint(TRUNCATE)')
  const random = secret.slice(-43)
  t.notOk(readFileSync(join(dir, 'agent.db')).includes(random), 'the secret is not in the database')
  t.notOk(JSON.stringify(tokens.list()).includes(random), 'nor in the list')
})

t.test('what is not exactly a token is nobody', async t => {
  const { tokens } = openAccess(t)
  const { id, secret } = tokens.create({ name: 'console', grants: viewer }, by)
  const other = tokens.create({ name: 'other', grants: viewer }, by)
  const last = secret.at(-1) === 'A' ? 'Q' : 'A'
  const wrong = [
    '',
    'eia',
    secret.slice(0, -1),
    `${secret}A`,
    ` ${secret}`,
    secret.slice(0, -1) + last,
    secret.toUpperCase(),
    `eia_${id}_${other.secret.slice(-43)}`,
    `eia_${'0'.repeat(16)}_${secret.slice(-43)}`,
    'x'.repeat(100_000),
  ]
  for (const one of wrong) t.equal(tokens.verify(one), undefined, one.slice(0, 40))
})

t.test('a token ends when it expires, and at once when it is revoked', async t => {
  const { tokens, clock } = openAccess(t)
  const short = tokens.create({ name: 'short', grants: viewer, expiresAt: clock.now + 1000 }, by)
  const long = tokens.create({ name: 'long', grants: viewer }, by)
  t.ok(tokens.verify(short.secret))
  clock.now += 999
  t.ok(tokens.verify(short.secret))
  clock.now += 1
  t.equal(tokens.verify(short.secret), undefined)
  t.equal(tokens.findCaller(short.id), undefined)
  t.ok(tokens.findCaller(long.id))
  tokens.revoke(long.id, by)
  t.equal(tokens.verify(long.secret), undefined)
  t.equal(tokens.findCaller(long.id), undefined)
  const states = Object.fromEntries(tokens.list().map(token => [token.name, token.state]))
  t.strictSame(states, { short: 'expired', long: 'revoked' })
  t.match(
    tokens.list().find(token => token.name === 'long'),
    { revokedBy: 'admin', revokedAt: clock.now },
  )
  t.throws(() => tokens.revoke(long.id, by), { code: 'not-found' })
  t.throws(() => tokens.revoke('nothing', by), { code: 'not-found' })
})

t.test('wrong requests are refused with every problem', async t => {
  const { tokens, clock } = openAccess(t)
  const refused = (wanted: NewToken, code: string, ...texts: string[]) => {
    try {
      tokens.create(wanted, by)
      t.fail('created')
    } catch (error) {
      if (!(error instanceof AccessError)) throw error
      t.equal(error.code, code)
      for (const text of texts) t.ok(error.message.includes(text), `${error.message} has ${text}`)
    }
  }
  refused({ name: 'a b', grants: [] }, 'invalid', 'name:', 'grants: expected 1 to')
  refused({ name: 'a', grants: [{ role: 'image-viewer', namespace: 'No_Name' }] }, 'invalid', 'grants[0].namespace')
  refused({ name: 'a', grants: viewer, expiresAt: clock.now }, 'invalid', 'expiresAt')
  refused({ name: 'a', grants: viewer, expiresAt: Number.NaN }, 'invalid', 'expiresAt')
  tokens.create({ name: 'a', grants: viewer, expiresAt: clock.now + 10 }, by)
  refused({ name: 'a', grants: viewer }, 'name-taken', '"a"')
  clock.now += 10
  t.ok(tokens.create({ name: 'a', grants: viewer }, by), 'a name is free again once its token has ended')
})

t.test('there are not more than so many tokens', async t => {
  const { tokens, state } = openAccess(t)
  state.db.transaction(() => {
    for (let at = 0; at < maxLiveTokens; at++) tokens.create({ name: `t${at}`, grants: viewer }, by)
  })()
  t.throws(() => tokens.create({ name: 'more', grants: viewer }, by), { code: 'too-many' })
})

t.test('the last use is noted at most once a minute', async t => {
  const { tokens, state, clock } = openAccess(t)
  const { secret } = tokens.create({ name: 'a', grants: viewer }, by)
  const changes = () => Number(state.db.prepare('SELECT total_changes() AS n').pluck().get())
  const start = clock.now
  const before = changes()
  for (let at = 0; at < 59; at++, clock.now += 1000) tokens.verify(secret)
  t.equal(changes() - before, 1)
  t.equal(tokens.list()[0]?.lastUsedAt, start)
  clock.now += 1000
  tokens.verify(secret)
  t.equal(tokens.list()[0]?.lastUsedAt, start + 60_000)
})

t.test('a token that can not be noted is still let in', async t => {
  const { tokens, state } = openAccess(t)
  const { secret } = tokens.create({ name: 'a', grants: viewer }, by)
  state.db.pragma('query_only = ON')
  t.equal(tokens.verify(secret)?.name, 'a')
})

t.test('changes of tokens are in the audit, without the secret', async t => {
  const { tokens, audit, clock } = openAccess(t)
  const { id, secret } = tokens.create({ name: 'console', grants: viewer, expiresAt: clock.now + 60_000 }, by)
  tokens.revoke(id, { who: 'root' })
  const { items } = audit.list()
  t.match(items, [
    { who: 'root', action: 'tokens:delete', object: { kind: 'Token', name: 'console' }, from: null },
    {
      ...{ who: 'admin', action: 'tokens:create', outcome: 'success', from: '192.0.2.7' },
      detail: { tokenId: id, grants: 'image-viewer in *', expiresAt: '2026-03-01T00:01:00.000Z' },
    },
  ])
  t.notOk(JSON.stringify(items).includes(secret.slice(-43)))
})

t.test('the first start makes an admin token, later ones leave it', async t => {
  const dir = t.testdir()
  const { tokens } = openAccess(t, { dir })
  await tokens.ensureAdminToken(dir)
  const file = join(dir, 'admin-token')
  t.equal(statSync(file).mode & 0o777, 0o600)
  const secret = readFileSync(file, 'utf8').trim()
  t.match(tokens.verify(secret), { name: 'admin', grants: [{ role: 'image-admin', namespace: '*' }] })
  await tokens.ensureAdminToken(dir)
  t.equal(readFileSync(file, 'utf8').trim(), secret)
  t.equal(tokens.list().length, 1)
  rmSync(file)
  await tokens.ensureAdminToken(dir)
  t.throws(() => statSync(file), { code: 'ENOENT' }, 'whoever took the file away meant to')
})

t.test('a file that the agent can not read does not keep it from starting', async t => {
  const dir = t.testdir()
  const { tokens } = openAccess(t, { dir })
  await tokens.ensureAdminToken(dir)
  rmSync(join(dir, 'admin-token'))
  mkdirSync(join(dir, 'admin-token'))
  await t.resolves(tokens.ensureAdminToken(dir))
})

t.test('a file left by a lost state is replaced', async t => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'admin-token'), 'eia_0000000000000000_old\n', { mode: 0o644 })
  const { tokens } = openAccess(t, { dir })
  await tokens.ensureAdminToken(dir)
  const file = join(dir, 'admin-token')
  t.ok(tokens.verify(readFileSync(file, 'utf8').trim()))
  t.equal(statSync(file).mode & 0o777, 0o600)
})

t.test('where no way in is left, the log says how to make one', async t => {
  const dir = t.testdir()
  const { state, audit, tokens, clock } = openAccess(t, { dir })
  await tokens.ensureAdminToken(dir)
  const [admin] = tokens.list()
  tokens.revoke(admin?.id ?? '', by)
  const lines: string[] = []
  const logger = silent.child({})
  logger.warn = (facts: object, text?: string) => lines.push(`${text} ${JSON.stringify(facts)}`)
  const later = new Tokens({ state, audit, logger, now: () => clock.now })
  await later.ensureAdminToken(dir)
  t.match(lines, [/no valid token can manage the agent.*token create NAME --role image-admin --offline/])
})
