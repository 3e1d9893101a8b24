import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Audit, AuditEvent } from '../../src/access/audit.ts'
import { openAccess } from '../fixtures/access.ts'

const event = (name: string, more: Partial<AuditEvent> = {}): AuditEvent => ({
  who: 'admin',
  action: 'sources:create',
  object: { kind: 'RegistrySecret', namespace: 'default', name },
  outcome: 'success',
  ...more,
})

function openWith(t: Test, count: number) {
  const site = openAccess(t)
  // As one transaction: a disk sync for each would take its time.
  site.state.db.transaction(() => {
    for (let at = 1; at <= count; at++) {
      site.audit.record(event(`s${at}`))
      site.clock.now += 1000
    }
  })()
  return site
}

async function exported(audit: Audit): Promise<string[]> {
  const lines: string[] = []
  for await (const line of audit.export()) lines.push(line)
  return lines
}

/** Someone with the database file and no respect for triggers. */
function tamper({ state }: ReturnType<typeof openAccess>, sql: string): void {
  for (const name of ['audit_in_order', 'audit_unchanged', 'audit_kept', 'audit_chain_forward']) {
    state.db.exec(`DROP TRIGGER IF EXISTS ${name}`)
  }
  state.db.exec(sql)
}

t.test('what is recorded is listed, the newest first', async t => {
  const { audit } = openAccess(t)
  audit.record(event('a', { from: '192.0.2.1', detail: { provider: 'harbor', domain: 'harbor.example' } }))
  audit.record(event('b', { outcome: 'denied', who: 'eve' }))
  const { items, totalItems } = audit.list()
  t.equal(totalItems, 2)
  t.match(items, [
    { seq: 2, who: 'eve', outcome: 'denied', from: null, detail: {} },
    {
      ...{ seq: 1, at: '2026-03-01T00:00:00.000Z', who: 'admin', action: 'sources:create', outcome: 'success' },
      object: { kind: 'RegistrySecret', namespace: 'default', name: 'a' },
      ...{ from: '192.0.2.1', detail: { provider: 'harbor', domain: 'harbor.example' }, previous: '' },
    },
  ])
  t.equal(items[0]?.previous, items[1]?.hash)
})

t.test('every filter, alone and together, with pages', async t => {
  const { audit, clock } = openAccess(t)
  const start = clock.now
  for (let at = 0; at < 25; at++) {
    audit.record(
      event(`s${at}`, {
        who: at % 2 === 0 ? 'anna' : 'berta',
        action: at % 5 === 0 ? 'sources:delete' : 'sources:create',
        outcome: at === 7 ? 'failure' : 'success',
      }),
    )
    clock.now += 1000
  }
  const count = (query: Parameters<Audit['list']>[0]) => audit.list(query).totalItems
  t.equal(count({ user: 'anna' }), 13)
  t.equal(count({ action: 'sources:delete' }), 5)
  t.equal(count({ object: 's3' }), 1)
  t.equal(count({ kind: 'RegistrySecret', namespace: 'default' }), 25)
  t.equal(count({ namespace: 'other' }), 0)
  t.equal(count({ outcome: 'failure' }), 1)
  t.equal(count({ since: start + 5000, until: start + 10_000 }), 5)
  t.equal(count({ user: 'berta', action: 'sources:delete' }), 2)
  const page = audit.list({ page: 3, limit: 10 })
  t.strictSame([page.items.length, page.totalItems], [5, 25])
  t.equal(page.items.at(-1)?.object.name, 's0')
})

t.test('the chain is proven, also past one batch', async t => {
  const { audit } = openWith(t, 1200)
  const found = await audit.verify()
  t.match(found, { ok: true, checked: 1200, firstSeq: 1, since: '2026-03-01T00:00:00.000Z', head: { seq: 1200 } })
  t.match(await openAccess(t, { dir: t.testdir({}) }).audit.verify(), { ok: true, checked: 0, since: null })
})

t.test('what was done to the records is found', async t => {
  const cases: Record<string, [sql: string, brokenAt: number, reason: string]> = {
    'a changed field': ["UPDATE audit SET who = 'nobody' WHERE seq = 3", 3, 'changed'],
    'a changed time': ['UPDATE audit SET at = at + 1 WHERE seq = 1', 1, 'changed'],
    'a changed detail': [`UPDATE audit SET detail = '{"count":1}' WHERE seq = 5`, 5, 'changed'],
    'a changed hash': ["UPDATE audit SET hash = 'x' WHERE seq = 4", 4, 'changed'],
    'a missing record': ['DELETE FROM audit WHERE seq = 4', 4, 'missing'],
    'a missing beginning': ['DELETE FROM audit WHERE seq <= 2', 1, 'missing'],
    'a missing end': ['DELETE FROM audit WHERE seq > 8', 9, 'missing'],
    'no records at all': ['DELETE FROM audit', 1, 'missing'],
    'two that changed places': [
      'UPDATE audit SET seq = -3 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = -3',
      3,
      'changed',
    ],
    'one put in at the end': [
      'INSERT INTO audit SELECT 11, at, who, action, outcome, kind, namespace, name, origin, detail, hash FROM audit WHERE seq = 10',
      11,
      'added',
    ],
    'an end that was moved back': [
      'DELETE FROM audit WHERE seq > 8; UPDATE audit_chain SET head_seq = 8',
      8,
      'changed',
    ],
  }
  for (const [name, [sql, brokenAt, reason]] of Object.entries(cases)) {
    await t.test(name, async t => {
      const site = openWith(t, 10)
      tamper(site, sql)
      t.match(await site.audit.verify(), { ok: false, brokenAt, reason })
    })
  }
})

t.test('the database itself refuses changes', async t => {
  const { state } = openWith(t, 3)
  const refused = (sql: string) => t.throws(() => state.db.exec(sql), { code: 'SQLITE_CONSTRAINT_TRIGGER' }, sql)
  refused("UPDATE audit SET who = 'nobody'")
  refused('DELETE FROM audit WHERE seq = 1')
  refused('DELETE FROM audit')
  refused('DELETE FROM audit_chain')
  refused('UPDATE audit_chain SET head_seq = 1')
  refused("UPDATE audit_chain SET head_hash = ''")
  refused("INSERT OR REPLACE INTO audit_chain VALUES (1, 0, '', 0, '')")
  refused(
    'INSERT OR REPLACE INTO audit SELECT 1, at, who, action, outcome, kind, namespace, name, origin, detail, hash FROM audit WHERE seq = 2',
  )
})

t.test('what is too old goes, and the rest is still proven', async t => {
  const { audit, clock } = openAccess(t, { audit: { maxAgeMs: 10_000 } })
  for (let at = 1; at <= 20; at++) {
    audit.record(event(`s${at}`))
    clock.now += 1000
  }
  audit.prune()
  t.match(await audit.verify(), { ok: true, checked: 10, firstSeq: 11, since: '2026-03-01T00:00:10.000Z' })
  t.equal(audit.list({ limit: 1000 }).items.at(-1)?.seq, 11)
  clock.now += 60_000
  audit.prune()
  t.match(await audit.verify(), { ok: true, checked: 0, firstSeq: 21, head: { seq: 20 } })
  audit.record(event('later'))
  t.match(await audit.verify(), { ok: true, checked: 1, firstSeq: 21, head: { seq: 21 } })
})

t.test('what is too much goes by itself', async t => {
  const site = openAccess(t, { audit: { maxRecords: 100 } })
  let most = 0
  site.state.db.transaction(() => {
    for (let at = 1; at <= 1000; at++) {
      site.audit.record(event(`s${at}`))
      most = Math.max(most, site.audit.list({ limit: 1 }).totalItems)
    }
  })()
  t.equal(most, 110)
  t.match(await site.audit.verify(), { ok: true, head: { seq: 1000 } })
  tamper(site, 'DELETE FROM audit WHERE seq = (SELECT anchor_seq + 1 FROM audit_chain)')
  t.match(await site.audit.verify(), { ok: false, reason: 'missing' }, 'one that is missing behind the anchor is found')
})

t.test('a fault among records that are pruned is put on record', async t => {
  const site = openAccess(t, { audit: { maxAgeMs: 12_500 } })
  for (let at = 1; at <= 20; at++) {
    site.audit.record(event(`s${at}`))
    site.clock.now += 1000
  }
  tamper(site, 'DELETE FROM audit WHERE seq BETWEEN 3 AND 5')
  site.audit.prune()
  t.match(await site.audit.verify(), { ok: true, firstSeq: 9, head: { seq: 21 } })
  t.match(site.audit.list({ action: 'audit:prune' }).items, [
    { who: 'system', outcome: 'failure', object: { name: 'record 3' }, detail: { reason: 'the record is missing' } },
  ])
})

t.test('a clock that was wrong for a while prunes nothing that is young', async t => {
  const { audit, clock } = openAccess(t, { audit: { maxAgeMs: 10_000 } })
  const right = clock.now
  clock.now = right - 365 * 24 * 60 * 60_000
  audit.record(event('old'))
  clock.now = right
  audit.record(event('young'))
  clock.now = right - 365 * 24 * 60 * 60_000
  audit.record(event('old again'))
  clock.now = right
  audit.prune()
  t.strictSame(
    audit.list().items.map(item => item.object.name),
    ['old again', 'young'],
  )
})

t.test('only the allowed fields of a detail are kept, and no password in a URL', async t => {
  const { audit } = openAccess(t)
  const planted = { provider: 'harbor', password: 'planted', reason: 'at https://robot:planted@host/x', count: 'many' }
  audit.record(event('a', { detail: JSON.parse(JSON.stringify(planted)) }))
  t.strictSame(audit.list().items[0]?.detail, { reason: 'at https://host/x', provider: 'harbor' })
  t.notOk((await exported(audit)).join('').includes('planted'))
})

t.test('names from outside are clipped and can not break a line', async t => {
  const { audit } = openAccess(t)
  audit.record(event(`a\n\u0000\u009b${'x'.repeat(10_000)}`, { who: 'lone \ud800' }))
  const [item] = audit.list().items
  t.match(item?.object.name, /^a\?\?\?x{1,300}$/)
  t.ok(item?.who.isWellFormed())
  t.match(await audit.verify(), { ok: true })
})

t.test('the export is lines of JSON that anyone can check', async t => {
  const { audit } = openWith(t, 1200)
  const lines = await exported(audit)
  t.equal(lines.length, 1200)
  let previous = ''
  for (const line of lines) {
    t.ok(line.endsWith('}\n'))
    const { hash, ...record } = JSON.parse(line)
    if (record.previous !== previous) t.fail(`record ${record.seq} does not follow`)
    if (hash !== createHash('sha256').update(JSON.stringify(record)).digest('hex')) t.fail(`record ${record.seq}`)
    previous = hash
  }
})

t.test('a record that is part of a transaction goes with it', async t => {
  const { audit, state } = openAccess(t)
  t.throws(() =>
    state.db.transaction(() => {
      audit.record(event('a'))
      throw new Error('no')
    })(),
  )
  t.equal(audit.list().totalItems, 0)
  audit.record(event('b'))
  t.match(await audit.verify(), { ok: true, checked: 1 })
})
