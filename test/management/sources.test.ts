import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import t from 'tap'
import { readRegistrySecret } from '../../src/management/documents.ts'
import { parseLabelSelector } from '../../src/management/label-selector.ts'
import { FakeRegistry, type FakeRegistryOptions } from '../fixtures/fake-registry.ts'
import { addSource, databaseText, epoch, openManagementSite } from '../fixtures/management-site.ts'

const signal = new AbortController().signal
const secret = 'plant-b81d44'

async function open(t: Parameters<typeof openManagementSite>[0], options: FakeRegistryOptions = {}) {
  const upstream = await FakeRegistry.start(options)
  t.teardown(() => upstream.stop())
  return { upstream, ...(await openManagementSite(t, { upstreams: [upstream], verifyTimeoutMs: 2_000 })) }
}

const basic = { scheme: 'basic', username: 'robot', password: secret } as const

t.test('a source is told without its password, in every place', async t => {
  const site = await open(t, { auth: basic })
  const made = addSource(site, site.upstream.host, { username: 'robot', password: secret })
  t.match(made, {
    apiVersion: 'image.theriseunion.io/v1alpha1',
    kind: 'RegistrySecret',
    metadata: {
      name: 'main',
      namespace: 'default',
      annotations: {
        'theriseunion.io/domain': site.upstream.host,
        'theriseunion.io/username': 'robot',
        'theriseunion.io/provider': 'other',
        'theriseunion.io/verify-status': 'untested',
      },
    },
    spec: { domain: site.upstream.host, username: 'robot', provider: 'other' },
  })
  await site.sources.verify('default', 'main', {}, { who: 'anna' }, signal)
  const told = [site.sources.list({ namespaces: 'all' }), site.audit.list().items, databaseText(site)]
  t.notMatch(JSON.stringify(told), new RegExp(secret))
  site.sources.delete('default', 'main', { who: 'anna' })
  t.equal(site.state.db.prepare('SELECT count(*) FROM secrets').pluck().get(), 0, 'the secret goes with its source')
  t.same(
    site.audit.list().items.map(({ action, outcome }) => `${action} ${outcome}`),
    ['sources:delete success', 'sources:verify success', 'sources:create success'],
  )
})

t.test('verify asks with the credentials, and writes down what came of it', async t => {
  for (const scheme of ['basic', 'bearer'] as const) {
    const site = await open(t, { auth: { ...basic, scheme } })
    addSource(site, site.upstream.host, { username: 'robot', password: secret })
    const found = await site.sources.verify('default', 'main', {}, { who: 'anna' }, signal)
    t.match(found, { success: true, message: /answers in \d+ ms and accepts the user robot/ })
    const { annotations } = site.sources.get('default', 'main').metadata
    t.equal(annotations['theriseunion.io/verify-status'], 'success')
    t.equal(annotations['theriseunion.io/verify-timestamp'], String(epoch))
    t.equal(annotations['theriseunion.io/verify-message'], found.message)
    t.ok((site.sources.get('default', 'main').status.latencyMs ?? 0) > 0)

    const given = { domain: site.upstream.host, username: 'robot', password: 'wrong' }
    t.match(await site.sources.verify('default', 'main', given, { who: 'anna' }, signal), {
      success: false,
      message: /^wrong credentials: .* refuses the user name or the password of robot/,
    })
    t.equal(site.sources.get('default', 'main').metadata.annotations['theriseunion.io/verify-status'], 'failed')
  }
})

t.test('the stored password goes to no other domain', async t => {
  const site = await open(t, { auth: basic })
  const other = await FakeRegistry.start({ auth: basic })
  t.teardown(() => other.stop())
  addSource(site, site.upstream.host, { username: 'robot', password: secret })
  await site.sources.verify('default', 'main', { domain: other.host }, { who: 'anna' }, signal)
  t.ok(
    other.requests.every(request => request.headers.authorization === undefined),
    'nothing was shown',
  )
  await t.rejects(site.sources.verify('default', 'main', { username: 'robot' }, { who: 'anna' }, signal), {
    name: 'ManagementError',
    reason: 'Invalid',
  })
})

t.test('what is wrong, in plain words', async t => {
  const site = await open(t)
  const page = createServer((_, response) => response.end('<html>hello</html>')).listen(0, '127.0.0.1')
  const gone = createTcpServer().listen(0, '127.0.0.1')
  const silentServer = createTcpServer().listen(0, '127.0.0.1')
  await Promise.all([page, gone, silentServer].map(server => once(server, 'listening')))
  const hostOf = (server: { address(): unknown }) => `127.0.0.1:${(server.address() as AddressInfo).port}`
  const goneHost = hostOf(gone)
  await new Promise(resolve => gone.close(resolve))
  t.teardown(() => {
    page.close()
    silentServer.close()
  })
  const check = async (domain: string, name: string) => {
    addSource(site, domain, { name })
    return await site.sources.verify('default', name, {}, { who: 'anna' }, signal)
  }
  t.match(await check('no-such-host.invalid', 'dns'), { success: false, message: /^no such host: .*no-such-host/ })
  t.match(await check(goneHost, 'gone'), { success: false, message: /does not answer; check the domain, the port/ })
  t.match(await check(site.upstream.host.replace('127.0.0.1', 'localhost'), 'tls'), {
    success: false,
    message: /^no trust in the connection .*does not speak https/,
  })
  const plain = await openManagementSite(t, {
    hosts: [page, silentServer].map(server => ({ host: hostOf(server), plainHttp: true })),
    verifyTimeoutMs: 300,
  })
  addSource(plain, hostOf(page), { name: 'page' })
  t.match(await plain.sources.verify('default', 'page', {}, { who: 'anna' }, signal), {
    success: false,
    message: /^not a registry: /,
  })
  addSource(plain, hostOf(silentServer), { name: 'silent' })
  t.match(await plain.sources.verify('default', 'silent', {}, { who: 'anna' }, signal), {
    success: false,
    message: /did not answer within 0\.3 s/,
  })
  t.equal(plain.sources.connectionFailures().get('silent'), 1)
})

t.test('an anonymous source, and credentials that nobody looks at', async t => {
  const site = await open(t)
  addSource(site, site.upstream.host)
  t.match(await site.sources.verify('default', 'main', {}, { who: 'anna' }, signal), {
    success: true,
    message: /lets us in without credentials/,
  })
  addSource(site, site.upstream.host, { name: 'named', username: 'robot', password: secret })
  t.match(await site.sources.verify('default', 'named', {}, { who: 'anna' }, signal), {
    success: true,
    message: /lets everybody read; whether it knows the user robot it does not say/,
  })
})

t.test('sources are checked by themselves, each in its time', async t => {
  const site = await open(t)
  for (let at = 0; at < 10; at++) addSource(site, site.upstream.host, { name: `s${at}` })
  await site.sources.tick()
  t.equal(site.upstream.count(), 0, 'not at once')
  site.clock.now += 600_000
  for (let at = 0; at < 3; at++) await site.sources.tick()
  const { items } = site.sources.list({ namespaces: 'all' })
  t.ok(items.every(({ status }) => status.verifyStatus === 'success'))
  const asked = site.upstream.count()
  await site.sources.tick()
  t.equal(site.upstream.count(), asked, 'and once each')
  t.equal(site.audit.list({ action: 'sources:verify' }).totalItems, 0, 'which is no action of anybody')
})

t.test('search, pages, namespaces, annotations, apply', async t => {
  const site = await open(t)
  for (const name of ['alpha', 'beta', 'gamma']) addSource(site, `${name}.example`, { name })
  addSource(site, 'alpha.example', { name: 'alpha', namespace: 'other' })
  const names = (query: Parameters<typeof site.sources.list>[0]) =>
    site.sources.list(query).items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
  t.same(names({ namespaces: ['default'], page: 2, limit: 2 }), ['default/gamma'])
  t.same(names({ namespaces: 'all', search: 'ALPHA' }), ['default/alpha', 'other/alpha'])
  t.equal(site.sources.list({ namespaces: 'all', limit: 1 }).totalItems, 4)
  site.sources.annotate('default', 'beta', { 'theriseunion.io/display-name': 'Main Harbor' }, { who: 'bea' })
  t.same(names({ namespaces: 'all', search: 'main harbor' }), ['default/beta'])
  t.throws(() => site.sources.annotate('default', 'beta', { 'theriseunion.io/domain': 'x' }, { who: 'bea' }), {
    name: 'ManagementError',
    reason: 'Invalid',
  })
  t.throws(() => addSource(site, 'x.example', { name: 'alpha' }), { name: 'ManagementError', reason: 'AlreadyExists' })

  const document = (password: string, labels = {}) =>
    readRegistrySecret({
      metadata: { name: 'delta', labels },
      spec: { domain: 'delta.example', provider: 'other', username: 'u', password },
    })
  t.equal(site.sources.apply(document('p1'), { who: 'bea' }).outcome, 'created')
  t.equal(site.sources.apply(document('p1'), { who: 'bea' }).outcome, 'unchanged')
  t.equal(site.sources.apply(document('p1', { site: 'a' }), { who: 'bea' }).outcome, 'configured')
  const labelled = (selector: string) => names({ namespaces: 'all', labels: parseLabelSelector(selector) ?? [] })
  t.same(labelled('site=a'), ['default/delta'])
  t.same(labelled('site in (a,b),!other'), ['default/delta'])
  t.same(labelled('site'), ['default/delta'])
  const others = names({ namespaces: 'all' }).filter(name => name !== 'default/delta')
  for (const selector of ['site!=a', 'site notin (a,b)', '!site']) t.same(labelled(selector), others, selector)
  t.throws(() => site.sources.apply(document('p2'), { who: 'bea' }), { name: 'ManagementError', reason: 'Conflict' })
})

t.test('many are created together or not at all, and what was undone is not on record', async t => {
  const site = await openManagementSite(t)
  const wanted = (...names: string[]) =>
    names.map(name =>
      readRegistrySecret({
        metadata: { name },
        spec: { domain: `${name}.example`, provider: 'other', username: 'u', password: 'p' },
      }),
    )
  t.equal(site.sources.createAll(wanted('a', 'b'), { who: 'bea' }).length, 2)
  t.throws(() => site.sources.createAll(wanted('c', 'd', 'a'), { who: 'bea' }), {
    reason: 'AlreadyExists',
    message: /^items\[2\]: .*"a" already exists.*nothing was created$/,
    object: { name: 'a' },
  })
  t.same(
    site.sources.list({ namespaces: 'all' }).items.map(({ metadata }) => metadata.name),
    ['a', 'b'],
  )
  t.equal(site.vault.find('RegistrySecret/default/c'), undefined)
  t.same(
    site.audit.list().items.map(({ object, outcome }) => `${object.name} ${outcome}`),
    ['a failure', 'b success', 'a success'],
  )
})
