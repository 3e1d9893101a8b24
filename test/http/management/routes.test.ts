/** Every route of image management with every status that it answers, over management in memory. */
import t, { type Test } from 'tap'
import { startApi } from '../../fixtures/agent-facts.ts'
import { FakeManagement } from '../../fixtures/fake-management.ts'

const base = '/oapis/image.theriseunion.io/v1alpha1/namespaces'

const source = (name = 'harbor-main') => ({
  metadata: { name, annotations: { 'theriseunion.io/display-name': 'The main one' } },
  spec: { domain: 'harbor.example', username: 'robot', password: 'secret-1', provider: 'harbor' },
})
const repository = (name = 'nginx') => ({
  metadata: { name },
  spec: { repository: 'library/nginx', tag: '1.27', registryRef: { name: 'harbor-main', namespace: 'default' } },
})
const policy = (name = 'nightly') => ({ metadata: { name }, spec: { keepRecent: 3, schedule: '0 2 * * *' } })

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

async function start(t: Test) {
  const management = new FakeManagement()
  const { app } = await startApi(t, { management })
  const call = async (method: Method, path: string, body?: unknown, token = 'admin') => {
    const answer = await app.inject({
      method,
      url: `${base}${path}`,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = answer.body
    return { code: answer.statusCode, body: text === '' ? undefined : JSON.parse(text), headers: answer.headers }
  }
  return { app, management, call }
}

t.test('every kind is created, listed, read, edited and deleted', async t => {
  const { call } = await start(t)
  const kinds = [
    { plural: 'registry-secrets', kind: 'RegistrySecret', document: source() },
    { plural: 'repositories', kind: 'Repository', document: repository() },
    { plural: 'image-cleanup-policies', kind: 'ImageCleanupPolicy', document: policy() },
  ]
  for (const { plural, kind, document } of kinds) {
    const { name } = document.metadata
    const created = await call('POST', `/default/${plural}`, document)
    t.match(created, { code: 201, body: { kind, metadata: { name, namespace: 'default' } } }, `create ${plural}`)
    t.match(await call('GET', `/default/${plural}/${name}`), { code: 200, body: { kind, metadata: { name } } })
    t.match(await call('GET', `/default/${plural}?page=1&limit=10`), {
      code: 200,
      body: {
        apiVersion: 'image.theriseunion.io/v1alpha1',
        kind: `${kind}List`,
        items: [{ metadata: { name } }],
        totalItems: 1,
      },
    })
    const annotations = { 'theriseunion.io/display-name': 'Another', 'theriseunion.io/description': 'words' }
    t.match(await call('PATCH', `/default/${plural}/${name}`, { metadata: { annotations } }), {
      code: 200,
      body: { metadata: { annotations } },
    })
    const again = await call('POST', `/default/${plural}`, document)
    t.match(again, { code: 409, body: { kind: 'Status', reason: 'AlreadyExists', details: { name } } })
  }
  for (const { plural, document } of kinds.reverse()) {
    const gone = await call('DELETE', `/default/${plural}/${document.metadata.name}`)
    t.match(gone, { code: 204, body: undefined })
    const path = `/default/${plural}/${document.metadata.name}`
    for (const method of ['GET', 'DELETE', 'PATCH'] as const) {
      t.match(await call(method, path, method === 'PATCH' ? {} : undefined), {
        code: 404,
        body: { status: 'Failure', reason: 'NotFound', details: { name: document.metadata.name }, code: 404 },
      })
    }
  }
})

t.test('an error is a Status to the letter', async t => {
  const { call } = await start(t)
  const wrong = { ...repository(), spec: { ...repository().spec, repository: 'library/nginx:1.27' } }
  const answer = await call('POST', '/default/repositories', wrong)
  t.match(answer.headers['content-type'], /^application\/json/)
  const { message, details, ...rest } = answer.body
  t.strictSame(rest, {
    apiVersion: 'image.theriseunion.io/v1alpha1',
    kind: 'Status',
    metadata: {},
    status: 'Failure',
    reason: 'Invalid',
    code: 400,
  })
  t.match(message, /write repository: "library\/nginx" and tag: "1.27"/)
  t.match(details, {
    name: 'nginx',
    kind: 'repository',
    causes: [{ field: 'spec.repository', reason: 'FieldValueInvalid', message: /without a tag/ }],
  })
})

t.test('every wrong field is told at once, with what was expected and an example; a password never is', async t => {
  const { call } = await start(t)
  const answer = await call('POST', '/default/registry-secrets', {
    metadata: { name: 'Harbor' },
    spec: { domain: 'https://harbor.example/v2/', username: 'a', password: 'line\nplanted', provider: 'acme', more: 1 },
  })
  t.equal(answer.code, 400)
  t.match(answer.body.details, { kind: 'registry-secret' })
  const fields = answer.body.details.causes.map((cause: { field: string }) => cause.field)
  t.same(new Set(fields), new Set(['metadata.name', 'spec.domain', 'spec.password', 'spec.provider', 'spec.more']))
  t.match(answer.body.message, /write "harbor.example"/)
  t.notMatch(JSON.stringify(answer.body), /planted/)
  const path = await call('POST', '/default/repositories', { metadata: { name: 'x' }, spec: { repository: 5 } })
  t.match(path.body.message, /spec\.repository: expected .*library\/nginx/)
  t.match(await call('POST', '/team/repositories', { ...repository(), metadata: { name: 'x', namespace: 'other' } }), {
    code: 400,
    body: { details: { causes: [{ field: 'metadata.namespace' }] } },
  })
})

t.test('bodies are JSON, and not without end', async t => {
  const { app, call } = await start(t)
  const url = `${base}/default/repositories`
  const authorization = 'Bearer admin'
  const yaml = await app.inject({
    ...{ method: 'POST', url },
    headers: { authorization, 'content-type': 'application/yaml' },
    payload: 'a: 1',
  })
  t.equal(yaml.statusCode, 415)
  t.match(yaml.json(), { kind: 'Status', reason: 'UnsupportedMediaType', code: 415 })
  const large = await app.inject({
    ...{ method: 'POST', url },
    headers: { authorization, 'content-type': 'application/json' },
    payload: `"${'a'.repeat(4 * 1024 * 1024)}"`,
  })
  t.equal(large.statusCode, 413)
  t.match(large.json(), { kind: 'Status', code: 413 })
  const broken = await call('POST', '/default/registry-secrets', '{"spec": {"password": "planted" "')
  t.match(broken, { code: 400, body: { kind: 'Status', reason: 'BadRequest' } })
  t.notMatch(JSON.stringify(broken.body), /planted/)
  for (const body of ['null', '5', '"text"', '{}', '']) {
    t.match(await call('POST', '/default/repositories', body), { code: 400, body: { kind: 'Status' } }, body)
  }
  t.match(await call('PATCH', '/default/repositories/nginx', '[]'), { code: 404 })
})

t.test('pages, searches and namespaces', async t => {
  const { call } = await start(t)
  for (let at = 0; at < 12; at++) await call('POST', '/default/repositories', repository(`web-${at}`))
  await call('POST', '/team/repositories', repository('web-0'))
  t.match(await call('GET', '/default/repositories'), { body: { items: { length: 10 }, totalItems: 12 } })
  t.match(await call('GET', '/default/repositories?page=2'), { body: { items: { length: 2 }, totalItems: 12 } })
  t.match(await call('GET', '/default/repositories?page=9'), { body: { items: [], totalItems: 12 } })
  t.match(await call('GET', '/default/repositories?name=web-1'), { body: { totalItems: 3 } })
  t.match(await call('GET', '/_all_/repositories?limit=100'), { body: { totalItems: 13 } })
  t.match(await call('GET', '/_all_/repositories?limit=100', undefined, 'viewer'), { body: { totalItems: 12 } })
  t.match(await call('GET', '/team/repositories'), { body: { totalItems: 1 } })
  for (const query of ['page=0', 'page=x', 'limit=0', 'limit=1001', 'limit=-1', 'page=1&page=2', 'labelSelector=a>b']) {
    t.match(await call('GET', `/default/repositories?${query}`), { code: 400, body: { reason: 'Invalid' } }, query)
  }
  t.match(await call('GET', '/No_Namespace/repositories'), { code: 400 })
  t.match(await call('POST', '/_all_/repositories', repository()), { code: 400, body: { message: /name one/ } })
})

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

t.test('a patch edits annotations and refuses everything else by its path', async t => {
  const { call, management } = await start(t)
  const read = (await call('POST', '/default/repositories', repository())).body
  t.match(await call('PATCH', '/default/repositories/nginx', read), { code: 200 }, 'what was read, sent back')
  const answer = await call('PATCH', '/default/repositories/nginx', {
    metadata: { name: 'other', annotations: { 'theriseunion.io/description': 5 } },
    spec: { tag: '1.28', registryRef: { name: 'elsewhere' } },
  })
  t.equal(answer.code, 400)
  t.same(answer.body.details.causes.map((cause: { field: string }) => cause.field).sort(), [
    'metadata.annotations["theriseunion.io/description"]',
    'metadata.name',
    'spec.registryRef.name',
    'spec.tag',
  ])
  t.match(answer.body.message, /delete the repository and create it again/)
  const one = await call('PATCH', '/default/repositories/nginx', {
    metadata: { annotations: { 'theriseunion.io/description': 'x' } },
  })
  t.equal(one.body.metadata.annotations['theriseunion.io/description'], 'x')
  const none = await call('PATCH', '/default/repositories/nginx', {
    metadata: { annotations: { 'theriseunion.io/description': null } },
  })
  t.notOk(none.body.metadata.annotations['theriseunion.io/description'])
  const manual = { metadata: { annotations: { 'theriseunion.io/manual-sync': 'now' } } }
  t.match(await call('PATCH', '/default/repositories/nginx', manual), { code: 200 })
  t.match(await call('PATCH', '/default/repositories/nginx', manual, 'viewer'), {
    code: 403,
    body: { message: /repositories:sync/ },
  })
  await call('POST', '/default/registry-secrets', source())
  t.match(await call('PATCH', '/default/registry-secrets/harbor-main', { spec: { password: 'planted' } }), {
    code: 400,
    body: { details: { causes: [{ field: 'spec.password' }] } },
  })
  t.match(
    await call('PATCH', '/default/registry-secrets/harbor-main', {
      metadata: { annotations: { 'theriseunion.io/verify-status': 'success' } },
    }),
    { code: 400, body: { message: /written by the server/ } },
  )
  t.equal(management.verified.length, 0)
})

t.test('a source in use is not deleted, and the answer names who uses it', async t => {
  const { call } = await start(t)
  await call('POST', '/default/registry-secrets', source())
  await call('POST', '/default/repositories', repository())
  t.match(await call('DELETE', '/default/registry-secrets/harbor-main'), {
    code: 409,
    body: { reason: 'Conflict', message: /default\/nginx/, details: { kind: 'registry-secret', name: 'harbor-main' } },
  })
})

t.test('no answer holds a password', async t => {
  const { call } = await start(t)
  const created = await call('POST', '/default/registry-secrets', source())
  const answers = [
    created,
    await call('GET', '/default/registry-secrets'),
    await call('GET', '/default/registry-secrets/harbor-main'),
    await call('PUT', '/default/registry-secrets/harbor-main', source()),
    await call('POST', '/default/registry-secrets', source()),
  ]
  for (const { body } of answers) t.notMatch(JSON.stringify(body), /secret-1|"password"/)
})

t.test('apply creates, edits, leaves alone, or says that spec is fixed', async t => {
  const { call } = await start(t)
  const path = '/default/repositories/nginx'
  const outcome = async (document: unknown) => (await call('PUT', path, document)).headers['apply-outcome']
  t.match(await call('PUT', path, repository()), { code: 201, headers: { 'apply-outcome': 'created' } })
  t.equal(await outcome(repository()), 'unchanged')
  const described = { ...repository(), metadata: { name: 'nginx', annotations: { a: 'b' } } }
  t.match(await call('PUT', path, described), { code: 200, headers: { 'apply-outcome': 'configured' } })
  t.match(await call('PUT', path, { ...repository(), spec: { ...repository().spec, tag: '1.28' } }), { code: 409 })
  t.match(await call('PUT', path, repository('other')), { code: 400, body: { message: /metadata\.name/ } })
})

t.test('batches: created all or none, deleted with what is in use left', async t => {
  const { call } = await start(t)
  const path = '/default/registry-secrets'
  t.match(await call('POST', path, { items: [source('a'), source('b')] }), {
    code: 201,
    body: {
      kind: 'RegistrySecretList',
      items: [{ metadata: { name: 'a' } }, { metadata: { name: 'b' } }],
      totalItems: 2,
    },
  })
  const clash = await call('POST', path, { kind: 'RegistrySecretList', items: [source('c'), source('b')] })
  t.match(clash, { code: 409, body: { message: /items\[1\].*nothing was created/, details: { name: 'b' } } })
  t.match(await call('GET', `${path}/c`), { code: 404 })
  const wrong = await call('POST', path, [source('c'), { metadata: { name: 'D' } }])
  t.equal(wrong.code, 400)
  t.match(wrong.body.details.causes[0].field, /^items\[1\]\./)
  t.match(await call('POST', path, { items: [] }), { code: 400 })

  await call('POST', '/default/repositories', repository())
  await call('POST', path, source())
  const missing = await call('DELETE', path, { items: [{ metadata: { name: 'a' } }, { metadata: { name: 'zz' } }] })
  t.match(missing, { code: 404, body: { details: { name: 'zz' } } })
  t.match(await call('GET', `${path}/a`), { code: 200 }, 'nothing went')
  const used = await call('DELETE', path, { names: ['a', 'harbor-main'] })
  t.match(used, { code: 409, body: { message: /1 of 2 deleted.*default\/nginx/ } })
  t.match(await call('GET', `${path}/a`), { code: 404 })
  t.match(await call('DELETE', path, [{ metadata: { name: 'b' } }]), { code: 204 })
  t.match(await call('DELETE', path), { code: 400, body: { message: /items/ } })
  await call('POST', '/team/repositories', repository('there'))
  const all = {
    items: [{ metadata: { name: 'nginx', namespace: 'default' } }, { metadata: { name: 'there', namespace: 'team' } }],
  }
  t.match(await call('DELETE', '/default/repositories', all), { code: 400, body: { message: /items\[1\]/ } })
  t.match(await call('DELETE', '/_all_/repositories', all), { code: 204 })
})

t.test('a source is tested with the stored credentials or with given ones', async t => {
  const { call, management } = await start(t)
  await call('POST', '/default/registry-secrets', source())
  const path = '/default/registry-secrets/harbor-main/verify'
  const given = { domain: 'harbor.example', username: 'a', password: 'b' }
  t.match(await call('POST', path, {}), { code: 200, body: { success: true, message: String } })
  t.match(await call('POST', path), { code: 200 })
  t.match(await call('POST', path, given), { code: 200 })
  t.same(management.verified, [{}, {}, given])
  const answer = await call('POST', path, { domain: 'https://harbor.example', username: 'a', passwd: 'planted' })
  t.equal(answer.code, 400)
  t.match(answer.body.message, /write "harbor.example"/)
  t.match(answer.body.message, /username and password together/)
  t.notMatch(JSON.stringify(answer.body), /planted/)
  t.match(await call('POST', path, '[]'), { code: 400 })
  t.match(await call('POST', '/default/registry-secrets/none/verify', {}), { code: 404 })
})

t.test('what a source offers', async t => {
  const { call } = await start(t)
  await call('POST', '/default/registry-secrets', source())
  const path = '/default/registry-secrets/harbor-main'
  t.match(await call('GET', `${path}/repositories?search=ng`), {
    code: 200,
    body: { items: ['library/nginx'], more: false },
  })
  t.match(await call('GET', `${path}/tags?repository=library/nginx`), { body: { items: ['1.27', '1.26'], more: true } })
  t.match(await call('GET', `${path}/tags`), { code: 400, body: { details: { causes: [{ field: 'repository' }] } } })
  t.match(await call('GET', `${path}/repositories?limit=5000`), { code: 400 })
})

t.test('syncs, runs, versions, and a way back', async t => {
  const { call, management } = await start(t)
  await call('POST', '/default/repositories', repository())
  const path = '/default/repositories/nginx'
  t.match(await call('POST', `${path}/sync`), { code: 200, body: { success: true, message: String } })
  t.match(await call('POST', `${path}/sync`, {}), { code: 200 })
  t.same(management.synced, ['default/nginx', 'default/nginx'])
  t.match(await call('GET', `${path}/runs`), { code: 200, body: { items: [], totalItems: 0 } })
  t.match(await call('GET', `${path}/versions`), { body: { items: [{ tag: '1.27' }], totalItems: 1 } })
  t.match(await call('GET', `${path}/compare?a=1.26&b=1.27`), { code: 200, body: { bytes: { shared: 0 } } })
  t.match(await call('GET', `${path}/compare?a=1.26`), { code: 400, body: { details: { causes: [{ field: 'b' }] } } })
  t.match(await call('POST', `${path}/rollback`, { version: '1.26' }), { code: 200, body: { kind: 'Repository' } })
  t.match(await call('POST', `${path}/rollback`, { versoin: '1.26' }), { code: 400 })
  t.match(await call('POST', '/default/repositories/none/sync'), { code: 404 })
})

t.test('a policy says what it would take, and takes it', async t => {
  const { call } = await start(t)
  await call('POST', '/default/image-cleanup-policies', policy())
  for (const verb of ['dry-run', 'run']) {
    t.match(await call('POST', `/default/image-cleanup-policies/nightly/${verb}`), {
      code: 200,
      body: { items: [{ repository: 'library/nginx', action: 'remove', reason: 'unused' }], bytesFreed: 5 },
    })
  }
})

t.test('paths that are not there, and faults, are Statuses, too', async t => {
  const { app, call, management } = await start(t)
  t.match(await call('GET', '/default/nothing'), { code: 404, body: { kind: 'Status', reason: 'NotFound' } })
  const bad = await app.inject({ url: `${base}/default/repositories/%zz` })
  t.match(bad.json(), { kind: 'Status', code: 400 })
  management.access.callerOf = () => {
    throw new Error('SELECT planted')
  }
  const fault = await call('GET', '/default/repositories')
  t.match(fault, { code: 500, body: { kind: 'Status', reason: 'InternalError' } })
  t.notMatch(JSON.stringify(fault.body), /planted/)
})

t.test('the API describes every route with its bodies and errors', async t => {
  const { app } = await start(t)
  const { paths } = (await app.inject('/openapi.json')).json()
  const prefix = `${base}/{namespace}`
  const own = Object.keys(paths).filter(path => path.startsWith(prefix))
  t.equal(own.length, 16)
  t.match(paths[`${prefix}/registry-secrets`].post.responses, { 201: {}, 400: {}, 401: {}, 403: {}, 404: {}, 409: {} })
  const told = JSON.stringify(paths[`${prefix}/registry-secrets/{name}`].get.responses['200'])
  t.match(told, /domain/)
  t.notMatch(told, /password/)
  t.match(JSON.stringify(paths[`${prefix}/registry-secrets`].post.requestBody), /"writeOnly":true/)
})
