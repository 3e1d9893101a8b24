/** Image sources and Repositories against docker-registry: credentials, listing, a pattern, and only what is new at the next sync. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { image } from '../fixtures/images.ts'
import { addRepository, addSource, openManagementSite, reached } from '../fixtures/management-site.ts'
import { lacking } from '../fixtures/programs.ts'
import { pushSample } from '../fixtures/push-sample.ts'
import { startDockerRegistry } from '../fixtures/real-servers.ts'

const login = { username: 'robot', password: 'p,a "s" s' }
const base = { seed: 'base', bytes: 50_000 }
const signal = new AbortController().signal

t.test('a docker-registry as a source', { skip: lacking('docker-registry', 'htpasswd') }, async t => {
  // Not in the test's own folder: the site makes that anew.
  const folder = await mkdtemp(join(tmpdir(), 'source-'))
  const server = await startDockerRegistry(folder, { login })
  t.teardown(async () => {
    await server.stop()
    await rm(folder, { recursive: true })
  })
  const host = { host: server.host, plainHttp: true }
  const site = await openManagementSite(t, { hosts: [host] })
  const basic = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`
  const push = (tag: string) =>
    pushSample(server.url, 'library/nginx', tag, image({ seed: tag, layers: [base, 2000] }), basic)
  for (const tag of ['1.26.0', '1.27.0', 'edge']) {
    await push(tag)
  }

  addSource(site, server.host, login)
  addSource(site, server.host, { ...login, name: 'wrong', password: 'wrong' })
  addSource(site, server.host, { name: 'anonymous' })
  const verify = (name: string) => site.sources.verify('default', name, {}, { who: 'anna' }, signal)
  t.match(await verify('main'), { success: true, message: /accepts the user robot/ })
  t.match(await verify('wrong'), { success: false, message: /^wrong credentials/ })
  t.match(await verify('anonymous'), { success: false, message: /wants credentials, and none were given/ })

  t.same((await site.sources.listRepositories('default', 'main', {}, signal)).names, ['library/nginx'])
  t.same((await site.sources.listTags('default', 'main', 'library/nginx', {}, signal)).names, [
    '1.27.0',
    '1.26.0',
    'edge',
  ])

  site.repositories.start()
  addRepository(site, { repository: 'library/nginx', tagPattern: '^1.26' })
  await reached(site, 'Success')
  const first = site.repositories.runs('default', 'app')[0]?.bytesMoved ?? 0
  await push('1.28.0')
  site.repositories.sync('default', 'app', { who: 'anna' })
  await site.repositories.tick()
  const [run] = site.repositories.runs('default', 'app')
  t.match(run, { outcome: 'Success' })
  t.ok((run?.bytesMoved ?? first) < first / 2, `the base is not moved again: ${run?.bytesMoved} of ${first} bytes`)
  t.same(site.repositories.get('default', 'app').status.tags, ['1.26.0', '1.27.0', '1.28.0'])
})
