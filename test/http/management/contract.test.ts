/**
 * The contract's complete flow against the real agent, as an outside client goes through it: curl, a source with credentials, a
 * Repository that is really copied, every field that the contract names. Contract: "Image management: the resources and the REST API".
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { runCommand } from '../../fixtures/command-line.ts'
import { apiVersion, password, startSite, synced } from '../../fixtures/contract-site.ts'

const wrongPassword = 'planted-wrong-b2d4'

t.test('the complete flow', { timeout: 90_000 }, async t => {
  const site = await startSite(t)
  const { call, upstream, agent, dir, answers } = site
  const source = {
    apiVersion,
    kind: 'RegistrySecret',
    metadata: {
      name: 'harbor-main',
      namespace: 'default',
      annotations: { 'theriseunion.io/display-name': 'Harbor', 'theriseunion.io/description': 'the main one' },
    },
    spec: { domain: upstream.host, username: 'robot$sync', password, provider: 'other' },
  }
  const repository = {
    apiVersion,
    kind: 'Repository',
    metadata: { name: 'nginx', namespace: 'default', annotations: { 'theriseunion.io/display-name': 'Web server' } },
    spec: { repository: 'library/nginx', tag: '1.27', registryRef: { name: 'harbor-main', namespace: 'default' } },
  }

  await t.test('a source is created, and its password is never seen again', async t => {
    t.match(await call('POST', 'namespaces/default/repositories', repository), {
      code: /^40[04]$/,
      body: { kind: 'Status', message: /harbor-main/ },
    })
    const created = await call('POST', 'namespaces/default/registry-secrets', source)
    t.match(created, {
      code: 201,
      body: {
        ...{ apiVersion, kind: 'RegistrySecret' },
        metadata: {
          ...{ name: 'harbor-main', namespace: 'default' },
          annotations: {
            'theriseunion.io/display-name': 'Harbor',
            'theriseunion.io/description': 'the main one',
            'theriseunion.io/domain': upstream.host,
            'theriseunion.io/username': 'robot$sync',
            'theriseunion.io/provider': 'other',
            'theriseunion.io/verify-status': 'untested',
          },
        },
        spec: { domain: upstream.host, username: 'robot$sync', provider: 'other' },
      },
    })
    t.notOk('password' in created.body.spec)
    t.match(await call('POST', 'namespaces/default/registry-secrets', source), {
      code: 409,
      body: { reason: 'AlreadyExists', details: { name: 'harbor-main', kind: 'registry-secret' }, code: 409 },
    })
  })

  await t.test('sources are listed, paged, searched and read', async t => {
    t.match(await call('GET', 'namespaces/default/registry-secrets?page=1&limit=10&search='), {
      code: 200,
      body: { kind: 'RegistrySecretList', items: [{ metadata: { name: 'harbor-main' } }], totalItems: 1 },
    })
    t.match(await call('GET', 'namespaces/_all_/registry-secrets?page=1&limit=10&search=HARB'), {
      body: { totalItems: 1 },
    })
    t.match(await call('GET', 'namespaces/default/registry-secrets?search=nothing'), {
      body: { items: [], totalItems: 0 },
    })
    t.match(await call('GET', 'namespaces/other/registry-secrets'), { code: 200, body: { items: [], totalItems: 0 } })
    t.match(await call('GET', 'namespaces/default/registry-secrets/harbor-main'), {
      code: 200,
      body: { kind: 'RegistrySecret' },
    })
    t.match(await call('GET', 'namespaces/other/registry-secrets/harbor-main'), { code: 404 })
  })

  await t.test('the connection is tested, and the annotations say what came of it', async t => {
    const path = 'namespaces/default/registry-secrets/harbor-main'
    const before = Date.now()
    const wrong = { domain: upstream.host, username: 'robot$sync', password: wrongPassword }
    t.match(await call('POST', `${path}/verify`, wrong), { code: 200, body: { success: false, message: /\w/ } })
    const verified = await call('POST', `${path}/verify`, {})
    t.match(verified, { code: 200, body: { success: true, message: String } })
    t.same(Object.keys(verified.body), ['success', 'message'])
    const { annotations } = (await call('GET', path)).body.metadata
    t.equal(annotations['theriseunion.io/verify-status'], 'success')
    const timestamp = annotations['theriseunion.io/verify-timestamp']
    t.match(timestamp, /^\d{13}$/)
    t.ok(Number(timestamp) >= before && Number(timestamp) <= Date.now() + 1)
  })

  await t.test('a Repository is created, and its data is here by itself', async t => {
    const created = await call('POST', 'namespaces/default/repositories', repository)
    t.match(created, {
      code: 201,
      body: { kind: 'Repository', spec: { syncInterval: '1h', syncTimeout: '10m', retryCount: 3 } },
    })
    const { status } = await synced(site, 'nginx')
    t.match(status, {
      ...{ domain: upstream.host, syncStatus: 'Success', syncProgress: /100/, lastSynced: /^\d{4}-\d\d-\d\dT.*Z$/ },
      manifest: { architecture: 'amd64', os: 'linux', size: /^\d+(\.\d+)?[kMG]?B$/, created: String, layers: Array },
    })
    t.match(status.manifest.layers[0], { digest: /^sha256:[0-9a-f]{64}$/, size: Number })
    const answer = await request(`http://${agent.registry}/v2/library/nginx/manifests/1.27`)
    t.equal(answer.statusCode, 200, 'nodes can pull it')
    await answer.body.dump()
  })

  await t.test('Repositories are listed, searched, edited and synced', async t => {
    const path = 'namespaces/default/repositories'
    for (const search of ['ngin', 'web serv', 'library/']) {
      const query = new URLSearchParams({ page: '1', limit: '10', name: search })
      t.match(await call('GET', `${path}?${query}`), { body: { kind: 'RepositoryList', totalItems: 1 } }, search)
    }
    const annotations = { 'theriseunion.io/display-name': 'Front', 'theriseunion.io/description': 'serves' }
    const patch = { metadata: { annotations } }
    t.match(await call('PATCH', `${path}/nginx`, patch, { type: 'application/merge-patch+json' }), {
      code: 200,
      body: { metadata: { annotations } },
    })
    const { lastSynced } = (await call('GET', `${path}/nginx`)).body.status
    t.match(await call('POST', `${path}/nginx/sync`), { code: 200, body: { success: true, message: String } })
    const again = await synced(site, 'nginx', lastSynced)
    t.equal(again.status.syncStatus, 'Success')
    const manual = { metadata: { annotations: { 'theriseunion.io/manual-sync': String(Date.now()) } } }
    t.match(await call('PATCH', `${path}/nginx`, manual), { code: 200 })
    await synced(site, 'nginx', again.status.lastSynced)
    const runs = await call('GET', `${path}/nginx/runs`)
    t.match(runs.body, { totalItems: 3, items: [{ trigger: 'annotation', outcome: 'Success', bytesMoved: 0 }] })
    t.match(await call('PATCH', `${path}/nginx`, { spec: { tag: '1.26' } }), {
      code: 400,
      body: { details: { causes: [{ field: 'spec.tag' }] } },
    })
  })

  await t.test('versions are listed, compared and rolled back to; a source is browsed', async t => {
    const path = 'namespaces/default/repositories'
    const older = { ...repository, metadata: { name: 'nginx-old' }, spec: { ...repository.spec, tag: '1.26' } }
    t.match(await call('POST', path, older), { code: 201 })
    await synced(site, 'nginx-old')
    const versions = await call('GET', `${path}/nginx/versions`)
    t.match(versions.body, { items: [{ tag: '1.27' }, { tag: '1.26' }], totalItems: 2 })
    t.match(await call('GET', `${path}/nginx/compare?a=1.26&b=1.27`), {
      code: 200,
      body: { bytes: { onlyInA: Number } },
    })
    t.match(await call('POST', `${path}/nginx/rollback`, { version: '1.26' }), { code: 200 })
    t.match(await call('GET', 'namespaces/default/registry-secrets/harbor-main/tags?repository=library/nginx'), {
      code: 200,
      body: { items: ['1.27', '1.26'], more: false },
    })
    t.match(await call('DELETE', `${path}/nginx-old`), { code: 204, body: undefined })
  })

  await t.test('what people get wrong is answered with the correction', async t => {
    const secret = (domain: string) => ({ ...source, metadata: { name: 'x' }, spec: { ...source.spec, domain } })
    for (const domain of ['https://harbor.example', 'harbor.example/v2/', 'http://harbor.example/v2/']) {
      const answer = await call('POST', 'namespaces/default/registry-secrets', secret(domain))
      t.match(answer, { code: 400, body: { reason: 'Invalid', message: /write "harbor\.example"/ } }, domain)
    }
    const tagged = {
      ...repository,
      metadata: { name: 'x' },
      spec: { ...repository.spec, repository: 'library/nginx:1' },
    }
    t.match(await call('POST', 'namespaces/default/repositories', tagged), {
      code: 400,
      body: { details: { name: 'x', kind: 'repository' }, message: /repository: "library\/nginx" and tag: "1"/ },
    })
    t.match(await call('POST', 'namespaces/default/repositories', '{'), { code: 400, body: { kind: 'Status' } })
    t.match(await call('POST', 'namespaces/default/repositories', 'a: 1', { type: 'text/yaml' }), {
      code: 400,
      body: { message: /not JSON/ },
    })
  })

  await t.test('policies are kept, and say what they would take', async t => {
    const path = 'namespaces/default/image-cleanup-policies'
    const spec = {
      keepRecent: 1,
      unusedDays: 0,
      schedule: '0 2 * * *',
      namespaces: ['default'],
      exclude: [{ name: 'a/b' }],
    }
    t.match(await call('POST', path, { apiVersion, kind: 'ImageCleanupPolicy', metadata: { name: 'nightly' }, spec }), {
      code: 201,
      body: { spec },
    })
    const report = await call('POST', `${path}/nightly/dry-run`)
    t.match(report, { code: 200, body: { bytesFreed: Number } })
    t.ok(report.body.items.every((item: { reason: string }) => item.reason !== ''))
    t.match(await call('PATCH', `${path}/nightly`, { spec: { keepRecent: 5 } }), {
      code: 200,
      body: { spec: { keepRecent: 5 } },
    })
    t.match(await call('POST', `${path}/nightly/run`), { code: 200 })
    t.match(await call('DELETE', `${path}/nightly`), { code: 204 })
  })

  await t.test('roles: 401 without a token, 403 with the missing right', async t => {
    const tokenOf = async (name: string, role: string, namespace: string) => {
      const made = await call('POST', '/v1/tokens', { name, grants: [{ role, namespace }] })
      t.equal(made.code, 201)
      const secret: string = made.body.token
      return secret
    }
    const path = 'namespaces/default/registry-secrets'
    t.match(await call('GET', path, undefined, { token: '' }), {
      code: 401,
      body: { kind: 'Status', reason: 'Unauthorized' },
    })
    t.match(await call('GET', path, undefined, { token: 'no-such-token' }), { code: 401 })
    const viewer = { token: await tokenOf('viewer', 'image-viewer', 'default') }
    const operator = { token: await tokenOf('operator', 'image-operator', '*') }
    t.match(await call('GET', path, undefined, viewer), { code: 200 })
    t.match(await call('GET', 'namespaces/team/registry-secrets', undefined, viewer), {
      code: 403,
      body: { reason: 'Forbidden', message: /sources:read.*"team"/ },
    })
    t.match(await call('POST', path, source, operator), { code: 403, body: { message: /sources:create.*"default"/ } })
    t.match(await call('POST', 'namespaces/default/repositories/nginx/sync', undefined, viewer), { code: 403 })
    t.match(await call('POST', 'namespaces/default/repositories/nginx/sync', undefined, operator), { code: 200 })
  })

  await t.test('batches follow the same paths', async t => {
    const path = 'namespaces/default/registry-secrets'
    const named = (name: string) => ({ ...source, metadata: { name } })
    t.match(await call('POST', path, { items: [named('a'), named('b')] }), { code: 201, body: { totalItems: 2 } })
    t.match(await call('DELETE', path, { items: [{ metadata: { name: 'a' } }, { metadata: { name: 'b' } }] }), {
      code: 204,
    })
  })

  await t.test('the same documents as files, as kubectl would', async t => {
    const file = join(dir, 'more.yaml')
    writeFileSync(
      file,
      `apiVersion: ${apiVersion}
kind: Repository
metadata: {name: from-file, namespace: default}
spec: {repository: library/nginx, tag: "1.26", registryRef: {name: harbor-main, namespace: default}}
---
${JSON.stringify({ ...source, metadata: { name: 'source-from-file', namespace: 'default' } })}
`,
    )
    const env = {
      EDGE_IMAGE_AGENT_API: agent.api,
      EDGE_IMAGE_AGENT_TOKEN: readFileSync(agent.tokenFile, 'utf8').trim(),
    }
    t.match(await runCommand(['apply', '-f', file], { env }), {
      status: 0,
      stdout: /source-from-file created\n.*from-file created/,
    })
    t.match(await runCommand(['get', 'repo,rs'], { env }), { status: 0, stdout: /repository\/from-file/ })
    t.match(await runCommand(['delete', '-f', file], { env }), { status: 0, stdout: /from-file" deleted/ })
  })

  await t.test('a source in use stays; what is deleted is gone, its images stay usable', async t => {
    const path = 'namespaces/default/registry-secrets/harbor-main'
    t.match(await call('DELETE', path), { code: 409, body: { reason: 'Conflict', message: /nginx/ } })
    t.match(await call('DELETE', 'namespaces/default/repositories/nginx'), { code: 204, body: undefined })
    t.match(await call('GET', 'namespaces/default/repositories/nginx'), {
      code: 404,
      body: { status: 'Failure', reason: 'NotFound', details: { name: 'nginx', kind: 'repository' }, code: 404 },
    })
    const answer = await request(`http://${agent.registry}/v2/library/nginx/manifests/1.27`, { method: 'HEAD' })
    t.equal(answer.statusCode, 200)
    t.match(await call('DELETE', path), { code: 204 })
    t.match(await call('DELETE', path), { code: 404 })
  })

  await t.test('the audit has it all, and no secret stands anywhere', async t => {
    const { body } = await call('GET', '/v1/audit?limit=1000')
    const items: { action: string; outcome: string; who: string; from?: string }[] = body.items
    const actions = new Set(items.map(({ action }) => action))
    for (const action of [
      ...['sources:create', 'sources:delete', 'sources:verify', 'tokens:create', 'policies:sync'],
      ...['repositories:create', 'repositories:change', 'repositories:delete', 'repositories:sync'],
      ...['policies:create', 'policies:change', 'policies:delete'],
    ]) {
      t.ok(actions.has(action), action)
    }
    const called = items.filter(({ who }) => who !== 'system')
    t.same([...new Set(called.map(({ from }) => from))], ['127.0.0.1'], 'each call has its address')
    t.ok(items.some(({ outcome }) => outcome === 'denied'))
    for (const secret of [password, wrongPassword]) {
      t.notOk(
        answers.some(text => text.includes(secret)),
        'not in an answer',
      )
      // What the test itself has written to apply it is no trace of the agent's.
      const traces = filesBelow(dir).filter(file => !/more\.yaml$/.test(file) && readFileSync(file).includes(secret))
      t.same(traces, [], 'not in a file')
    }
  })
})

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map(name => join(dir, name))
    .filter(file => statSync(file).isFile())
}
