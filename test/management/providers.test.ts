import { join } from 'node:path'
import t from 'tap'
import { aliyun } from '../../src/management/providers/aliyun.ts'
import { dockerhub } from '../../src/management/providers/dockerhub.ts'
import type { ProviderHost } from '../../src/management/providers/provider.ts'
import { Providers } from '../../src/management/providers.ts'
import type { HostAnswer } from '../../src/registry/host-access.ts'
import { FakeHarbor } from '../fixtures/fake-harbor.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { addSource, openManagementSite } from '../fixtures/management-site.ts'
import { silent } from '../fixtures/state-folder.ts'

const signal = new AbortController().signal
const robot = { username: 'robot$sync', password: 'plant-66aa10' }

function artifact(at: number, ...tags: string[]) {
  return { digest: `sha256:${String(at).padStart(64, '0')}`, pushedAt: `2026-11-${10 + at}T00:00:00.000Z`, tags }
}

async function openHarbor(t: Parameters<typeof openManagementSite>[0], more: object = {}) {
  const repositories: Record<string, ReturnType<typeof artifact>[]> = {
    'library/nginx': [artifact(1, '1.26.0', 'stable'), artifact(2, '1.27.0'), artifact(3)],
    'library/tools/kit': [artifact(1, 'nightly'), artifact(4, 'weekly')],
    'shop/till': [artifact(1, '1.0.0')],
  }
  for (let at = 0; at < 150; at++) repositories[`bulk/app-${at}`] = [artifact(1, '1.0.0')]
  const harbor = await FakeHarbor.start({ repositories, users: { [robot.username]: robot.password }, ...more })
  t.teardown(() => harbor.stop())
  const site = await openManagementSite(t, { hosts: [{ host: harbor.host, plainHttp: true }] })
  addSource(site, harbor.host, { ...robot, provider: 'harbor' })
  return { harbor, ...site }
}

t.test('Harbor: projects, repositories and artifacts, page by page', async t => {
  const site = await openHarbor(t)
  const all = await site.sources.listRepositories('default', 'main', { limit: 1000 }, signal)
  t.equal(all.names.length, 153)
  t.equal(all.more, false)
  const some = await site.sources.listRepositories('default', 'main', { limit: 10 }, signal)
  t.equal(some.names.length, 10)
  t.equal(some.more, true)
  t.same((await site.sources.listRepositories('default', 'main', { search: 'nginx' }, signal)).names, ['library/nginx'])
  site.harbor.requests.length = 0
  t.same((await site.sources.listRepositories('default', 'main', { search: 'library/to' }, signal)).names, [
    'library/tools/kit',
  ])
  t.equal(site.harbor.requests.length, 2, 'a search that names the project asks for no other')
  t.same((await site.sources.listTags('default', 'main', 'library/nginx', {}, signal)).names, [
    '1.27.0',
    '1.26.0',
    'stable',
  ])
  t.same((await site.sources.listTags('default', 'main', 'library/tools/kit', {}, signal)).names, ['weekly', 'nightly'])
})

t.test('Harbor: a robot that may only pull is served by the registry itself', async t => {
  const site = await openHarbor(t, { pullers: [robot.username] })
  t.ok((await site.sources.listRepositories('default', 'main', { search: 'shop' }, signal)).names.includes('shop/till'))
  t.same((await site.sources.listTags('default', 'main', 'shop/till', {}, signal)).names, ['1.0.0'])
})

t.test('Harbor: health, credentials, paths', async t => {
  const well = await openHarbor(t)
  t.match(await well.sources.verify('default', 'main', {}, { who: 'anna' }, signal), {
    success: true,
    message: /accepts the user robot\$sync$/,
  })
  const given = { username: robot.username, password: 'wrong' }
  t.match(await well.sources.verify('default', 'main', given, { who: 'anna' }, signal), { success: false })
  t.match(well.sources.pathProblem({ namespace: 'default', name: 'main' }, 'nginx'), /begins with its project/)
  const ill = await openHarbor(t, { ill: ['database', 'redis'] })
  t.match(await ill.sources.verify('default', 'main', {}, { who: 'anna' }, signal), {
    success: true,
    message: /Harbor says that it is not healthy: database, redis/,
  })
})

t.test('other: the catalog and the list of tags', async t => {
  const upstream = await FakeRegistry.start({ pageSize: 2 })
  t.teardown(() => upstream.stop())
  const site = await openManagementSite(t, { upstreams: [upstream] })
  addSource(site, upstream.host)
  for (const tag of ['1.2.0', '1.10.0', 'edge']) upstream.putImage('mecm/app', tag, [Buffer.from(tag)])
  t.same((await site.sources.listTags('default', 'main', 'mecm/app', {}, signal)).names, ['1.10.0', '1.2.0', 'edge'])
  t.same(await site.sources.listTags('default', 'main', 'mecm/app', { limit: 1 }, signal), {
    names: ['1.10.0'],
    more: true,
  })
  t.same((await site.sources.listTags('default', 'main', 'mecm/app', { search: 'ED' }, signal)).names, ['edge'])
  await t.rejects(site.sources.listTags('default', 'main', 'mecm/none', {}, signal), {
    code: 'NAME_UNKNOWN',
    hint: 'Check the path, and that it exists at the source default/main.',
  })
})

t.test('Docker Hub: its names, official images, listing and what is left of the limit', async t => {
  t.equal(dockerhub.registryHost?.('hub.docker.com'), 'docker.io')
  t.equal(dockerhub.registryHost?.('index.docker.io'), 'docker.io')
  t.equal(dockerhub.sourcePath?.('nginx'), 'library/nginx')
  t.equal(dockerhub.sourcePath?.('mecm/web'), 'mecm/web')
  const asked: string[] = []
  const headers: Record<string, string> = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' }
  const answer = (document: unknown): HostAnswer => ({ status: 200, document, header: name => headers[name] })
  const host: ProviderHost = {
    ...{ domain: 'docker.io', username: 'mecm', get: async () => answer({}), headManifest: async () => answer({}) },
    registry: { listRepositories: none, listTags: none },
    getElsewhere: async (where, { path }) => {
      asked.push(`${where}${path}`)
      if (path.includes('search')) return answer({ results: [{ repo_name: 'nginx' }, { repo_name: 'mecm/nginx' }] })
      return answer(
        path.includes('page=1&') ? { next: 'x', results: [{ name: 'web' }] } : { results: [{ name: 'api' }] },
      )
    },
  }
  t.same(await dockerhub.inspect?.(host, signal), ['76 of the 100 pulls of each 6 h are left'])
  t.same(await dockerhub.listRepositories?.(host, { search: '', limit: 10, signal }), ['mecm/web', 'mecm/api'])
  t.same(await dockerhub.listRepositories?.(host, { search: 'nginx', limit: 10, signal }), [
    'library/nginx',
    'mecm/nginx',
  ])
  t.same(await dockerhub.listRepositories?.(host, { search: 'shop/w', limit: 1, signal }), ['shop/web'])
  t.match(asked.at(-1), 'hub.docker.com/v2/namespaces/shop/repositories?page=1&page_size=100')
})

t.test('Aliyun: namespaces, internal names', async t => {
  t.match(aliyun.checkPath?.('nginx'), /begins with its namespace/)
  t.equal(aliyun.checkPath?.('mecm/nginx'), undefined)
  t.match(aliyun.advise?.('registry-vpc.cn-hangzhou.aliyuncs.com'), /from outside it is registry\.cn-hangzhou/)
  t.match(aliyun.advise?.('shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com'), /shop-registry\.cn-hangzhou/)
  t.equal(aliyun.advise?.('registry.cn-hangzhou.aliyuncs.com'), undefined)
})

t.test("a site's own adapter, and one that throws, hangs or answers nonsense", async t => {
  const dir = t.testdir({
    'good.mjs': `export const provider = { name: 'quay', sourcePath: path => 'mirror/' + path, listRepositories: async () => ['a/b', 'NOT A PATH'] }`,
    'bad.mjs': `export const provider = {
      name: 'bad',
      sourcePath: () => { throw new Error('no') },
      inspect: () => new Promise(() => {}),
      listRepositories: async () => { throw new Error('broken') },
      listTags: async () => 'nonsense',
    }`,
    'twice.mjs': `export const provider = { name: 'harbor' }`,
    'wrong.mjs': 'export const provider = { name: "UPPER" }',
    'throws.mjs': 'throw new Error("no")',
    'hangs.mjs': 'await new Promise(() => {})',
  })
  const files = ['good', 'bad', 'twice', 'wrong', 'throws', 'hangs', 'absent'].map(name => join(dir, `${name}.mjs`))
  const providers = new Providers({ logger: silent, timeoutMs: 200 })
  await providers.load(files)
  t.same(providers.names, ['harbor', 'dockerhub', 'aliyun', 'other', 'quay', 'bad'])

  const host: ProviderHost = {
    ...{ domain: 'x', username: undefined, get: unused, headManifest: unused, getElsewhere: unused },
    registry: { listRepositories: none, listTags: none },
  }
  const query = { search: '', limit: 10, signal }
  const quay = providers.find('quay')
  t.equal(quay?.sourcePath('a/b'), 'mirror/a/b')
  t.same(await quay?.listRepositories(host, query), ['a/b'], 'what is no path is left out')
  t.same(await quay?.listTags(host, 'a/b', query), [], 'what it leaves out is done as by other')

  const bad = providers.find('bad')
  if (bad === undefined) throw new Error('the adapter was not loaded')
  t.equal(bad.sourcePath('a/b'), 'a/b')
  await t.rejects(bad.inspect(host, signal), { code: 'TIMEOUT' })
  await t.rejects(bad.listRepositories(host, query), { code: 'UNSUPPORTED', message: /"bad" failed: broken/ })
  await t.rejects(bad.listTags(host, 'a/b', query), { code: 'UNSUPPORTED' })
  t.equal(providers.find('hangs'), undefined)
})

async function unused(): Promise<HostAnswer> {
  throw new Error('not asked in this test')
}

async function* none(): AsyncGenerator<string, void, undefined> {}
