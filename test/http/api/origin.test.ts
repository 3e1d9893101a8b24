import t from 'tap'
import { planStatus, startApi } from '../../fixtures/agent-facts.ts'

const host = '127.0.0.1:8080'
const cases: [string, Record<string, string>, number][] = [
  ['a program', { host }, 200],
  ['the page of the API itself', { host, origin: `http://${host}` }, 200],
  ['the same through a tunnel', { host: 'localhost:9090', origin: 'http://localhost:9090' }, 200],
  ['IPv6', { host: '[::1]:8080', origin: 'http://[::1]:8080' }, 200],
  ['a page from elsewhere', { host, origin: 'https://evil.example' }, 403],
  ['a page of another program on this machine', { host, origin: 'http://127.0.0.1:3000' }, 403],
  ['a page without an origin to name', { host, origin: 'null' }, 403],
  ['a name made to resolve here', { host: 'evil.example:8080', origin: 'http://evil.example:8080' }, 403],
  ['the same, from a program', { host: 'evil.example:8080' }, 403],
]

t.test('only this machine and its programs may change anything on loopback', async t => {
  const { app, plans } = await startApi(t)
  for (const [who, headers, status] of cases) {
    plans.statuses.set('shop', planStatus('shop'))
    const answer = await app.inject({ method: 'DELETE', url: '/v1/plans/shop', headers })
    t.equal(answer.statusCode, status, who)
    if (status === 403) t.match(answer.json(), { error: { code: 'CROSS_ORIGIN' } })
  }
  const disguised = await app.inject({
    method: 'POST',
    url: '/%761/plans/shop/retry',
    headers: { host: 'evil.example' },
  })
  t.equal(disguised.statusCode, 403, 'the same path, written otherwise')
  const read = await app.inject({ url: '/v1/plans', headers: { host: 'evil.example' } })
  t.equal(read.statusCode, 403, 'reading by a foreign name')
  t.equal((await app.inject({ url: '/metrics', headers: { host: 'edge.example' } })).statusCode, 200)
})

t.test('an API that listens to the network is asked by any name', async t => {
  const { app, plans } = await startApi(t, { loopback: false })
  plans.statuses.set('shop', planStatus('shop'))
  const headers = { host: 'edge.example', origin: 'https://console.example' }
  t.equal((await app.inject({ method: 'DELETE', url: '/v1/plans/shop', headers })).statusCode, 200)
})
