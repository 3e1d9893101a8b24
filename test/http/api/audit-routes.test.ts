import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bearer, openLockedDoor } from '../../fixtures/access.ts'
import { startApi } from '../../fixtures/agent-facts.ts'

async function start(t: Test) {
  const dir = t.testdir()
  const door = await openLockedDoor(t, dir)
  const { app } = await startApi(t, door.parts)
  const headers = bearer(door.tokenOf('image-admin'))
  const get = (url: string) => app.inject({ url, headers })
  return { ...door, dir, app, headers, get }
}

t.test('records are listed, filtered and paged', async t => {
  const { get, audit, clock } = await start(t)
  for (let at = 0; at < 30; at++) {
    const object = { kind: 'Repository', namespace: 'shop', name: `r${at}` }
    audit.record({ who: at % 2 ? 'anna' : 'berta', action: 'repositories:sync', object, outcome: 'success' })
    clock.now += 1000
  }
  const total = async (query: string) => (await get(`/v1/audit?${query}`)).json().totalItems
  t.equal(await total('kind=Repository'), 30)
  t.equal(await total('user=anna&namespace=shop&outcome=success&action=repositories:sync'), 15)
  t.equal(await total('object=r7'), 1)
  t.equal(await total('kind=Repository&since=2026-03-01T00:00:10Z&until=2026-03-01T00:00:20Z'), 10)
  const page = (await get('/v1/audit?kind=Repository&page=3&limit=12')).json()
  t.strictSame([page.items.length, page.items[5].object.name], [6, 'r0'])
  for (const query of ['page=0', 'limit=1001', 'limit=x', 'since=yesterday', 'outcome=maybe', 'colour=red']) {
    t.equal((await get(`/v1/audit?${query}`)).statusCode, 400, query)
  }
  t.match((await get('/v1/audit?since=abc')).json(), { error: { details: [/since.*2026-11-21T08:00:00Z/] } })
})

t.test('the chain is proven, and exported as lines of JSON', async t => {
  const { get, audit } = await start(t)
  const object = { kind: 'Repository', namespace: 'shop', name: 'r' }
  for (let at = 0; at < 5; at++) audit.record({ who: 'a', action: 'repositories:sync', object, outcome: 'success' })
  t.match((await get('/v1/audit/verify')).json(), { ok: true, checked: 6, firstSeq: 1 })
  const answer = await get('/v1/audit/export')
  t.equal(answer.headers['content-type'], 'application/x-ndjson')
  const lines = answer.body
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  t.strictSame(
    lines.map(line => line.seq),
    [1, 2, 3, 4, 5, 6],
  )
})

t.test('the vault is rotated, on record; a key that is missing is told', async t => {
  const { app, dir, headers, audit, vault, state } = await start(t)
  vault.put('RegistrySecret/default/harbor', 'planted')
  const rotate = () => app.inject({ method: 'POST', url: '/v1/vault/rotate', headers })
  const done = await rotate()
  t.match(done.json(), { keyId: vault.keyId, count: 1, unneeded: [] })
  t.match(audit.list({ action: 'vault:rotate' }).items, [{ outcome: 'success', detail: { count: 1 } }])
  state.db.exec("UPDATE secrets SET key_id = 'ffff'")
  rmSync(join(dir, 'vault-key'))
  const failed = await rotate()
  t.equal(failed.statusCode, 409)
  t.match(failed.json(), { error: { code: 'VAULT', message: /default\/harbor.*ffff/, details: [/from your backup/] } })
  t.notMatch(failed.body, /planted/)
  t.match(audit.list({ action: 'vault:rotate', outcome: 'failure' }).totalItems, 1)
})
