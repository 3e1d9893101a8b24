import t, { type Test } from 'tap'
import { bearer, openLockedDoor } from '../../fixtures/access.ts'
import { startApi } from '../../fixtures/agent-facts.ts'

async function start(t: Test) {
  const door = await openLockedDoor(t)
  const { app } = await startApi(t, door.parts)
  const headers = bearer(door.tokenOf('image-admin'))
  const create = (payload: object | string) =>
    app.inject({
      ...{ method: 'POST', url: '/v1/tokens', payload },
      headers: { ...headers, 'content-type': 'application/json' },
    })
  const list = async () => (await app.inject({ url: '/v1/tokens', headers })).json()
  return { ...door, app, headers, create, list }
}

const grants = [{ role: 'image-viewer', namespace: '*' }]

t.test('a token is made, used, listed and revoked', async t => {
  const { app, headers, create, list, clock, audit } = await start(t)
  const expiresAt = new Date(clock.now + 60_000).toISOString()
  const made = await create({ name: 'console', grants, expiresAt })
  t.equal(made.statusCode, 201)
  t.equal(made.headers['cache-control'], 'no-store')
  const { id, token } = made.json()
  const use = () => app.inject({ url: '/v1/plans', headers: bearer(token) })
  t.equal((await use()).statusCode, 200)
  const first = (await list()).find((one: { id: string }) => one.id === id)
  t.match(first, {
    ...{ id, name: 'console', grants, state: 'valid', createdBy: 'image-admin', createdAt: '2026-03-01T00:00:00.000Z' },
    ...{ expiresAt, revokedAt: null, lastUsedAt: '2026-03-01T00:00:00.000Z' },
  })
  t.notOk(JSON.stringify(await list()).includes(token.slice(-43)))
  const revoked = await app.inject({ method: 'DELETE', url: `/v1/tokens/${id}`, headers })
  t.strictSame([revoked.statusCode, revoked.body], [204, ''])
  t.equal((await use()).statusCode, 401)
  t.equal((await app.inject({ method: 'DELETE', url: `/v1/tokens/${id}`, headers })).statusCode, 404)
  t.match(audit.list({ object: 'console' }).items, [
    { action: 'tokens:delete', who: 'image-admin', from: '127.0.0.1' },
    { action: 'tokens:create', who: 'image-admin' },
  ])
})

t.test('every wrong field is named', async t => {
  const { create } = await start(t)
  const cases: [payload: object | string, status: number, text: RegExp][] = [
    ['{', 400, /JSON/],
    [{}, 400, /name|grants/],
    [{ name: 'a', grants: [{ role: 'root', namespace: '*' }] }, 400, /grants\/0\/role/],
    [{ name: 'a', grants: [{ role: 'image-admin' }] }, 400, /namespace/],
    [{ name: 'a', grants: [] }, 400, /grants: expected 1/],
    [{ name: 'a b', grants }, 400, /name: expected/],
    [{ name: 'a', grants: [{ role: 'image-viewer', namespace: 'A' }] }, 400, /grants\[0\].namespace/],
    [{ name: 'a', grants, expiresAt: 'tomorrow' }, 400, /expiresAt/],
    [{ name: 'a', grants, expiresAt: '2020-01-01T00:00:00Z' }, 400, /expiresAt/],
    [{ name: 'a', grants, admin: true }, 400, /additional/],
    [{ name: 'image-admin', grants }, 409, /NAME_TAKEN/],
  ]
  for (const [payload, status, text] of cases) {
    const answer = await create(payload)
    t.equal(answer.statusCode, status, JSON.stringify(payload))
    t.match(answer.body, text)
  }
})
