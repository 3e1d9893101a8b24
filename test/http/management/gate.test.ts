/** Who may do what under /oapis. */
import t from 'tap'
import { type Method, policy, repository, source, start } from '../../fixtures/management-api.ts'

t.test('who may do what: 401 without a token, 403 with the missing right and the namespace', async t => {
  const { call, management } = await start(t)
  await call('POST', '/default/registry-secrets', source())
  await call('POST', '/default/repositories', repository())
  await call('POST', '/default/image-cleanup-policies', policy())
  const calls: [Method, string, unknown, string][] = [
    ['GET', '/default/registry-secrets', undefined, ''],
    ['GET', '/default/registry-secrets/harbor-main', undefined, ''],
    ['POST', '/default/registry-secrets', source('b'), 'sources:create'],
    ['PUT', '/default/registry-secrets/b', source('b'), 'sources:create'],
    ['PATCH', '/default/registry-secrets/harbor-main', {}, 'sources:change'],
    ['DELETE', '/default/registry-secrets/harbor-main', undefined, 'sources:delete'],
    ['DELETE', '/default/registry-secrets', { names: ['harbor-main'] }, 'sources:delete'],
    ['POST', '/default/registry-secrets/harbor-main/verify', {}, 'sources:verify'],
    ['GET', '/default/registry-secrets/harbor-main/repositories', undefined, ''],
    ['GET', '/default/registry-secrets/harbor-main/tags?repository=library/nginx', undefined, ''],
    ['GET', '/default/repositories', undefined, ''],
    ['POST', '/default/repositories', repository('b'), 'repositories:create'],
    ['PATCH', '/default/repositories/nginx', {}, 'repositories:change'],
    ['DELETE', '/default/repositories/nginx', undefined, 'repositories:delete'],
    ['POST', '/default/repositories/nginx/sync', undefined, 'repositories:sync'],
    ['GET', '/default/repositories/nginx/runs', undefined, ''],
    ['GET', '/default/repositories/nginx/versions', undefined, ''],
    ['GET', '/default/repositories/nginx/compare?a=1&b=2', undefined, ''],
    ['POST', '/default/repositories/nginx/rollback', { version: '1' }, 'repositories:change'],
    ['POST', '/default/image-cleanup-policies', policy('b'), 'policies:create'],
    ['POST', '/default/image-cleanup-policies/nightly/dry-run', undefined, ''],
    ['POST', '/default/image-cleanup-policies/nightly/run', undefined, 'policies:sync'],
  ]
  for (const [method, path, body, right] of calls) {
    const label = `${method} ${path}`
    const anonymous = await call(method, path, body, '')
    t.match(
      anonymous,
      { code: 401, body: { reason: 'Unauthorized' }, headers: { 'www-authenticate': /Bearer/ } },
      label,
    )
    t.match(await call(method, path, body, 'nobody'), { code: 403, body: { reason: 'Forbidden' } }, label)
    if (right === '') t.match(await call(method, path, body, 'viewer'), { code: 200 }, label)
    else {
      const answer = await call(method, path, body, 'viewer')
      t.match(answer, { code: 403, body: { reason: 'Forbidden', code: 403 } }, label)
      t.ok(answer.body.message.includes(right) && answer.body.message.includes('"default"'), answer.body.message)
      t.equal(management.denials.at(-1)?.right, right)
    }
  }
  t.match(await call('GET', '/team/repositories', undefined, 'viewer'), { code: 403, body: { message: /"team"/ } })
  t.match(await call('GET', '/_all_/repositories', undefined, 'nobody'), { code: 403 })
  t.match(await call('POST', '/default/repositories/nginx/sync', undefined, 'operator'), { code: 200 })
  t.match(await call('DELETE', '/default/repositories/nginx', undefined, 'operator'), { code: 403 })
})

t.test('an object that reaches into another namespace takes the right there, too', async t => {
  const { call, management } = await start(t)
  management.callers.set('team', { name: 'team', grants: [{ role: 'image-operator', namespace: 'team' }] })
  const spec = { ...repository().spec, registryRef: { name: 'harbor-main', namespace: 'default' } }
  const borrowed = { metadata: { name: 'nginx' }, spec }
  t.match(await call('POST', '/team/repositories', borrowed, 'team'), {
    code: 403,
    body: {
      message: /sources:read is missing in namespace "default"/,
      details: { kind: 'registry-secret', name: 'harbor-main' },
    },
  })
  t.match(await call('PUT', '/team/repositories/nginx', borrowed, 'team'), { code: 403 })
  const own = { ...borrowed, spec: { ...spec, registryRef: { name: 'ours', namespace: 'team' } } }
  t.match(
    await call('POST', '/team/repositories', { items: [own, { ...borrowed, metadata: { name: 'b' } }] }, 'team'),
    {
      code: 403,
    },
  )
  t.match(await call('POST', '/team/repositories', own, 'team'), { code: 201 })

  const wide = { metadata: { name: 'wide' }, spec: { keepRecent: 1, namespaces: ['team', 'default'] } }
  t.match(await call('POST', '/team/image-cleanup-policies', wide, 'team'), {
    code: 403,
    body: { message: /policies:create is missing in namespace "default"/ },
  })
  t.match(await call('POST', '/team/image-cleanup-policies', wide), { code: 201 }, 'an admin may')
  t.match(await call('POST', '/team/image-cleanup-policies/wide/run', undefined, 'team'), {
    code: 403,
    body: { message: /policies:sync is missing in namespace "default"/ },
  })
  t.match(await call('PATCH', '/team/image-cleanup-policies/wide', { spec: { keepRecent: 0 } }, 'team'), { code: 403 })
})
