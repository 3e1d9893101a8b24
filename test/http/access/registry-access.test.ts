import t, { type Test } from 'tap'
import { passSeconds } from '../../../src/access/passes.ts'
import { RegistryGate } from '../../../src/http/access/registry-access.ts'
import { buildRegistryApp } from '../../../src/http/registry/app.ts'
import { Traffic } from '../../../src/http/registry/traffic.ts'
import { basic, bearer, openLockedDoor } from '../../fixtures/access.ts'
import { openTestStore } from '../../fixtures/open-store.ts'
import { silent } from '../../fixtures/state-folder.ts'

interface Settings {
  readonly anonymousPull: boolean
  readonly push: boolean
}

/** The registry's app over an empty store, with real tokens at its door. */
async function start(t: Test, settings: Settings) {
  const dir = t.testdir({ access: {}, content: {} })
  const door = await openLockedDoor(t, `${dir}/access`)
  const { store } = await openTestStore(t, { dir: `${dir}/content` })
  const { authorize, issuePass } = new RegistryGate({ ...door, ...settings })
  const write = settings.push ? { write: { content: store } } : {}
  const app = buildRegistryApp({ store, traffic: new Traffic(), logger: silent, authorize, issuePass, ...write })
  t.teardown(() => app.close())
  const get = (url: string, headers: Record<string, string> = {}) =>
    app.inject({ url, headers: { host: 'edge:5000', ...headers } })
  const push = (headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url: '/v2/shop/web/blobs/uploads/', headers: { host: 'edge:5000', ...headers } })
  return { ...door, app, get, push }
}

t.test('by default anyone reads, and nothing asks for a token', async t => {
  const { get, push } = await start(t, { anonymousPull: true, push: false })
  t.equal((await get('/v2/')).statusCode, 200)
  t.equal((await get('/v2')).statusCode, 200)
  t.equal((await get('/v2/_catalog')).statusCode, 200)
  t.equal((await get('/v2/shop/web/manifests/1')).statusCode, 404)
  t.equal((await get('/v2/_catalog', basic('nonsense'))).statusCode, 200, 'what is open needs no right password')
  t.equal((await push()).statusCode, 405)
})

t.test('the Bearer flow, as docker and containerd walk it', async t => {
  const { get, tokenOf, clock } = await start(t, { anonymousPull: false, push: false })
  const token = tokenOf('image-viewer')
  const refused = await get('/v2/')
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers['www-authenticate'], 'Bearer realm="http://edge:5000/token",service="edge-image-agent"')
  t.match(refused.json(), { errors: [{ code: 'UNAUTHORIZED' }] })
  t.equal(
    (await get('/v2/shop/web/manifests/1')).headers['www-authenticate'],
    'Bearer realm="http://edge:5000/token",service="edge-image-agent",scope="repository:shop/web:pull"',
  )
  const ask = '/token?account=me&service=edge-image-agent&scope=repository%3Ashop%2Fweb%3Apull'
  const without = await get(ask)
  t.strictSame(
    [without.statusCode, without.headers['www-authenticate']],
    [401, 'Basic realm="edge-image-agent", charset="UTF-8"'],
  )
  t.equal((await get(ask, basic('wrong'))).statusCode, 401)
  const given = await get(ask, basic(token, 'whoever'))
  t.equal(given.headers['cache-control'], 'no-store')
  const { token: pass, access_token, expires_in } = given.json()
  t.strictSame([access_token, expires_in], [pass, passSeconds])
  t.notOk(pass.includes(token.slice(-43)))
  t.equal((await get('/v2/', bearer(pass))).statusCode, 200)
  t.equal((await get('/v2/shop/web/manifests/1', bearer(pass))).statusCode, 404)
  clock.now += passSeconds * 1000
  t.equal((await get('/v2/', bearer(pass))).statusCode, 401, 'a pass expires')
})

t.test('tokens are taken directly, too: as Basic password and as Bearer', async t => {
  const { get, tokenOf } = await start(t, { anonymousPull: false, push: false })
  const token = tokenOf('image-viewer')
  for (const headers of [basic(token), basic(token, ''), basic(token, 'a b'), bearer(token)]) {
    t.equal((await get('/v2/_catalog', headers)).statusCode, 200)
  }
  for (const headers of [basic(''), bearer('x'), { authorization: 'Basic !' }, { authorization: token }]) {
    t.equal((await get('/v2/_catalog', headers)).statusCode, 401, headers.authorization)
  }
})

t.test('a revoked token takes its passes along', async t => {
  const { get, tokens, tokenOf } = await start(t, { anonymousPull: false, push: false })
  const { token: pass } = (await get('/token', basic(tokenOf('image-viewer')))).json()
  t.equal((await get('/v2/', bearer(pass))).statusCode, 200)
  tokens.revoke(tokens.list()[0]?.id ?? '', { who: 'test' })
  t.equal((await get('/v2/', bearer(pass))).statusCode, 401)
})

t.test('a pass of another process, or one that was changed, is none', async t => {
  const one = await start(t, { anonymousPull: false, push: false })
  const { token: pass } = (await one.get('/token', basic(one.tokenOf('image-viewer')))).json()
  const other = one.passes
  const changed = [pass.replace('eip_', 'eip_0'), pass.slice(0, -2), pass.replace(/_(\d+)_/, '_9999999999_')]
  for (const text of changed) {
    t.equal(other.verify(text), undefined)
    t.equal((await one.get('/v2/', bearer(text))).statusCode, 401)
  }
})

t.test('with the write side on, the base asks clients to log in, and reading stays open', async t => {
  const { get, push, tokenOf } = await start(t, { anonymousPull: true, push: true })
  t.equal((await get('/v2/_catalog')).statusCode, 200)
  t.equal((await get('/v2/shop/web/manifests/1')).statusCode, 404)
  t.equal((await get('/v2/')).statusCode, 401, 'docker asks nowhere else')
  const { token: anonymous } = (await get('/token')).json()
  t.equal((await get('/v2/', bearer(anonymous))).statusCode, 200)
  t.equal((await get('/v2/shop/web/manifests/1', bearer(anonymous))).statusCode, 404)
  const refused = await push(bearer(anonymous))
  t.equal(refused.statusCode, 401)
  t.match(refused.headers['www-authenticate'], /scope="repository:shop\/web:pull,push"$/)
  t.equal((await push(basic(tokenOf('image-operator')))).statusCode, 202)
})

t.test('who lacks the right is told which, and it is on record', async t => {
  const { app, push, audit, tokenOf } = await start(t, { anonymousPull: true, push: true })
  const viewer = basic(tokenOf('image-viewer'))
  const denied = await push(viewer)
  t.equal(denied.statusCode, 403)
  t.match(denied.json(), {
    errors: [{ code: 'DENIED', message: /"image-viewer" may not push.*registry:push is missing/ }],
  })
  const operator = basic(tokenOf('image-operator'))
  const url = '/v2/shop/web/manifests/1'
  t.equal((await app.inject({ method: 'DELETE', url, headers: operator })).statusCode, 403)
  t.equal((await app.inject({ method: 'DELETE', url, headers: basic(tokenOf('image-admin')) })).statusCode, 404)
  t.match(audit.list({ outcome: 'denied' }).items, [
    { who: 'image-operator', action: 'registry:delete', object: { kind: 'Registry', name: 'shop/web' } },
    { who: 'image-viewer', action: 'registry:push', object: { kind: 'Registry', name: 'shop/web' }, from: '127.0.0.1' },
  ])
})

t.test('wrong tokens are slowed down, over both ways in, and right ones are not', async t => {
  const { get, tokenOf } = await start(t, { anonymousPull: false, push: false })
  for (let at = 0; at < 6; at++) await get(at % 2 ? '/token' : '/v2/', basic(`wrong${at}`))
  for (const url of ['/token', '/v2/']) {
    const late = await get(url, basic('wrong'))
    t.equal(late.statusCode, 429)
    t.equal(late.headers['retry-after'], '1')
    t.match(late.json(), { errors: [{ code: 'TOOMANYREQUESTS' }] })
  }
  t.equal((await get('/v2/')).statusCode, 401, 'a client that shows nothing is told how to log in')
  t.equal((await get('/token', basic(tokenOf('image-viewer')))).statusCode, 200)
})

t.test('the realm is where the client is, and only ever more secure', async t => {
  const { get } = await start(t, { anonymousPull: false, push: false })
  const realm = async (headers: Record<string, string>) =>
    /realm="([^"]*)"/.exec(String((await get('/v2/', headers)).headers['www-authenticate']))?.[1]
  t.equal(await realm({ host: '[::1]:5000' }), 'http://[::1]:5000/token')
  t.equal(await realm({ 'x-forwarded-proto': 'https' }), 'https://edge:5000/token')
  t.equal(await realm({ 'x-forwarded-proto': 'ftp' }), 'http://edge:5000/token')
  t.equal(await realm({ host: 'a",service="b' }), 'http://localhost/token')
})
