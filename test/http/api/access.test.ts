import t, { type Test } from 'tap'
import { request } from 'undici'
import { type Role, type rights, rightsOf, roles } from '../../../src/access/roles.ts'
import { ApiServer } from '../../../src/http/api/server.ts'
import { basic, bearer, openLockedDoor } from '../../fixtures/access.ts'
import { agentFacts, FakePlans, planStatus, startApi } from '../../fixtures/agent-facts.ts'
import { FakeManagement } from '../../fixtures/fake-management.ts'
import { base } from '../../fixtures/management-api.ts'
import { silent } from '../../fixtures/state-folder.ts'

async function startLocked(t: Test) {
  const door = await openLockedDoor(t)
  const { app, plans } = await startApi(t, door.parts)
  return { ...door, app, plans }
}

/** Every route of the agent's own, and the right that it takes. */
const calls: readonly (readonly [method: 'GET' | 'POST' | 'DELETE', url: string, right: keyof typeof rights])[] = [
  ['GET', '/v1/plans', 'plans:read'],
  ['GET', '/v1/plans/shop', 'plans:read'],
  ['GET', '/v1/schemas/plan.json', 'plans:read'],
  ['POST', '/v1/plans', 'plans:create'],
  ['POST', '/v1/plans/shop/retry', 'plans:retry'],
  ['DELETE', '/v1/plans/shop', 'plans:delete'],
  ['GET', '/v1/images', 'images:read'],
  ['GET', '/v1/collection', 'images:read'],
  ['POST', '/v1/collection', 'images:delete'],
  ['GET', '/v1/status', 'edge:read'],
  ['GET', '/openapi.json', 'edge:read'],
  ['GET', '/docs', 'edge:read'],
  ['GET', '/v1/tokens', 'tokens:read'],
  ['POST', '/v1/tokens', 'tokens:create'],
  ['DELETE', '/v1/tokens/0', 'tokens:delete'],
  ['GET', '/v1/audit', 'audit:read'],
  ['GET', '/v1/audit/verify', 'audit:read'],
  ['GET', '/v1/audit/export', 'audit:read'],
  ['POST', '/v1/vault/rotate', 'vault:rotate'],
]

t.test('everything but health and metrics needs a token', async t => {
  const { app } = await startLocked(t)
  for (const url of ['/healthz', '/readyz', '/metrics']) t.equal((await app.inject(url)).statusCode, 200, url)
  const open = [
    ...calls,
    ['GET', '/v1/events'],
    ['GET', '/docs/'],
    ['GET', '/nowhere'],
    ['GET', '/v1/plans/a/b'],
  ] as const
  for (const [method, url] of open) {
    const answer = await app.inject({ method, url })
    t.equal(answer.statusCode, 401, url)
    t.equal(answer.json().error.code, 'UNAUTHORIZED')
    const expected = /^\/(?:docs|openapi)/.test(url) ? /^Basic realm=/ : /^Bearer realm=/
    t.match(answer.headers['www-authenticate'], expected)
  }
})

t.test('each role is let in where it has the right, and told which one is missing elsewhere', async t => {
  const { app, plans, tokenOf } = await startLocked(t)
  plans.next = { outcome: 'rejected', name: 'shop', problems: ['x'] }
  for (const role of roles) {
    const headers = bearer(tokenOf(role))
    for (const [method, url, right] of calls) {
      const answer = await app.inject({ method, url, headers })
      if (has(role, right)) {
        t.notMatch(answer.statusCode, /^(?:401|403|500)$/, `${role} ${method} ${url}: ${answer.statusCode}`)
        continue
      }
      t.equal(answer.statusCode, 403, `${role} ${method} ${url}`)
      t.match(answer.json(), { error: { code: 'FORBIDDEN', message: new RegExp(`"${role}".*the right ${right} is`) } })
    }
  }
})

function has(role: Role, right: keyof typeof rights): boolean {
  return rightsOf(role).includes(right)
}

t.test('a role in one namespace opens nothing that is about the edge', async t => {
  const { app, grant } = await startLocked(t)
  const headers = bearer(grant('local', { role: 'image-admin', namespace: 'shop' }))
  for (const [method, url] of calls) t.equal((await app.inject({ method, url, headers })).statusCode, 403, url)
})

t.test('wrong, expired and revoked tokens are 401, and too many of them 429', async t => {
  const { app, tokens, clock, tokenOf, parts } = await startLocked(t)
  const call = (headers: Record<string, string>) => app.inject({ url: '/v1/plans', headers })
  const right = bearer(tokenOf('image-viewer'))
  const wrong = [
    bearer('eia_0000000000000000_nothing'),
    { authorization: 'Bearer' },
    { authorization: 'Bearer a b' },
    { authorization: 'Negotiate abc' },
    basic(right.authorization.slice(7)),
  ]
  for (const headers of wrong) t.equal((await call(headers)).statusCode, 401, headers.authorization)
  const [viewer] = tokens.list()
  tokens.revoke(viewer?.id ?? '', { who: 'test' })
  t.match((await call(right)).json(), { error: { message: /was revoked/ } })

  for (let at = 0; at < 5; at++) await call(bearer('wrong'))
  const late = await call(bearer('wrong'))
  t.equal(late.statusCode, 429)
  t.equal(late.headers['retry-after'], '1')
  const managing = await startApi(t, { ...parts, management: new FakeManagement() })
  const managed = await managing.app.inject({ url: `${base}/default/repositories`, headers: bearer('wrong') })
  t.equal(managed.statusCode, 401, 'clients of image management know no 429')
  t.match(managed.json(), { kind: 'Status', reason: 'Unauthorized', message: /wait 1 s/ })
  t.equal(managed.headers['retry-after'], '1')
  t.equal((await call(bearer(tokenOf('image-operator')))).statusCode, 200, 'a right token is let in all the same')
  for (let at = 0; at < 7; at++) await call(bearer('wrong'))
  t.equal((await call(bearer('wrong'))).statusCode, 429)
  clock.now += 60 * 60_000
  t.equal((await call(bearer('wrong'))).statusCode, 401)
})

t.test('a HEAD takes what its GET takes', async t => {
  const { app, tokenOf } = await startLocked(t)
  const head = (headers = {}) => app.inject({ method: 'HEAD', url: '/v1/audit', headers })
  t.equal((await head()).statusCode, 401)
  t.equal((await head(bearer(tokenOf('image-viewer')))).statusCode, 403)
  t.equal((await head(bearer(tokenOf('image-admin')))).statusCode, 200)
})

t.test('events end with the token', async t => {
  const { parts, tokens, tokenOf } = await openLockedDoor(t)
  const plans = new FakePlans()
  const server = new ApiServer({ listen: '127.0.0.1:0', facts: agentFacts(), plans, ...parts, logger: silent })
  await server.start()
  t.teardown(() => server.stop())
  const { body } = await request(`http://${server.address}/v1/events`, { headers: bearer(tokenOf('image-viewer')) })
  plans.events.emit('status', planStatus('before'))
  tokens.revoke(tokens.list()[0]?.id ?? '', { who: 'test' })
  plans.events.emit('status', planStatus('after'))
  const text = await body.text()
  t.match(text, /"plan":"before"/)
  t.notMatch(text, /"plan":"after"/)
})

t.test('a browser opens the pages with a token as the password, and nothing else', async t => {
  const { app, tokenOf } = await startLocked(t)
  const headers = basic(tokenOf('image-viewer'))
  t.equal((await app.inject({ url: '/docs/', headers })).statusCode, 200)
  t.equal((await app.inject({ url: '/openapi.json', headers })).statusCode, 200)
  t.equal((await app.inject({ url: '/v1/plans', headers })).statusCode, 401)
})

t.test('denied calls are on record, but not without end', async t => {
  const { app, audit, denials, tokenOf } = await startLocked(t)
  const headers = bearer(tokenOf('image-viewer'))
  for (let at = 0; at < 50; at++) await app.inject({ method: 'DELETE', url: `/v1/plans/p${at}`, headers })
  for (let at = 0; at < 50; at++) await app.inject('/v1/plans')
  for (let at = 0; at < 50; at++) await app.inject({ url: '/v1/plans', headers: bearer(`wrong${at}`) })
  const denied = audit.list({ outcome: 'denied' })
  t.match(denied.items.toReversed(), [
    {
      ...{ who: 'image-viewer', action: 'plans:delete', from: '127.0.0.1' },
      ...{ object: { kind: 'Call', name: 'DELETE /v1/plans/:name' }, detail: { right: 'plans:delete' } },
    },
    {
      who: 'anonymous',
      action: 'login',
      object: { kind: 'Login', name: 'api' },
      detail: { reason: 'no token was sent' },
    },
  ])
  t.equal(denied.totalItems, 2, 'like calls of one minute are one record')
  t.notOk(JSON.stringify(audit.list().items).includes('wrong1'), 'what was sent as a token is not')
  denials.flush()
  t.match(audit.list({ outcome: 'denied' }).items[0], { who: 'system', detail: { suppressed: 49 + 49 + 6 } })
})

t.test('plans that were sent, tried again and withdrawn are on record', async t => {
  const { app, plans, audit, tokenOf } = await startLocked(t)
  const headers = { ...bearer(tokenOf('image-admin')), 'content-type': 'application/yaml' }
  const send = () => app.inject({ method: 'POST', url: '/v1/plans', headers, payload: 'x' })
  plans.next = { outcome: 'accepted', name: 'shop', revision: 3 }
  await send()
  plans.next = { outcome: 'unchanged', name: 'shop', revision: 3 }
  await send()
  plans.next = { outcome: 'rejected', name: 'shop', problems: ['x'] }
  await send()
  await app.inject({ method: 'DELETE', url: '/v1/plans/gone', headers: bearer(headers.authorization.slice(7)) })
  t.match(audit.list({ kind: 'DistributionPlan' }).items, [
    { action: 'plans:delete', outcome: 'failure', object: { name: 'gone' }, detail: { reason: 'unknown' } },
    { action: 'plans:create', outcome: 'failure', detail: { reason: 'rejected' } },
    {
      who: 'image-admin',
      action: 'plans:create',
      outcome: 'success',
      object: { name: 'shop' },
      detail: { revision: 3 },
    },
  ])
  t.equal(audit.list({ kind: 'DistributionPlan' }).totalItems, 3, 'what changed nothing is not')
})

t.test('a route that does not say who may use it is a mistake', async t => {
  const { access } = (await openLockedDoor(t)).parts
  const { app } = await startApi(t, { access })
  t.throws(() => app.get('/v1/new', async () => 'x'), /\/v1\/new does not say who may use it/)
})

t.test('the description names the scheme, and the right of each call', async t => {
  const { app, tokenOf } = await startLocked(t)
  const { components, security, paths } = (
    await app.inject({ url: '/openapi.json', headers: bearer(tokenOf('image-viewer')) })
  ).json()
  t.match(components.securitySchemes, { token: { type: 'http', scheme: 'bearer' } })
  t.same(security, [{ token: [] }])
  t.match(paths['/v1/plans'].get, { description: /plans:read/, responses: { 401: {}, 403: {}, 429: {} } })
  t.same(paths['/healthz'].get.security, [])
})
