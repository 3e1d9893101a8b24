/** Every route of image management with every status that it answers, over management in memory. */
import t from 'tap'
import { ImageError } from '../../../src/oci/errors.ts'
import { base, policy, repository, source, start } from '../../fixtures/management-api.ts'

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
  const { tag, ...untagged } = repository().spec
  t.match((await call('POST', '/default/repositories', { ...repository(), spec: untagged })).body.details, {
    causes: [{ field: 'spec.tag', reason: 'FieldValueRequired' }],
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

t.test('bodies are JSON whatever type they are sent with, and not without end', async t => {
  const { app, call } = await start(t)
  const url = `${base}/default/repositories`
  const authorization = 'Bearer admin'
  const types = ['application/x-www-form-urlencoded', 'text/plain', 'application/json; charset=utf-8', undefined]
  for (const [at, type] of types.entries()) {
    const headers = { authorization, ...(type === undefined ? {} : { 'content-type': type }) }
    const payload = Buffer.from(JSON.stringify(repository(`web-${at}`)))
    t.equal((await app.inject({ method: 'POST', url, headers, payload })).statusCode, 201, type ?? 'none')
  }
  for (const [type, message] of [
    ['application/yaml', /the body is not JSON/],
    ['json', /no media type/],
  ] as const) {
    const headers = { authorization, 'content-type': type }
    const answer = await app.inject({ method: 'POST', url, headers, payload: 'a: 1' })
    t.equal(answer.statusCode, 400)
    t.match(answer.json(), {
      kind: 'Status',
      reason: 'BadRequest',
      message,
      details: { kind: 'repository' },
      code: 400,
    })
  }
  const large = await app.inject({
    ...{ method: 'POST', url },
    headers: { authorization, 'content-type': 'application/json' },
    payload: `"${'a'.repeat(4 * 1024 * 1024)}"`,
  })
  t.equal(large.statusCode, 400)
  t.match(large.json(), { kind: 'Status', reason: 'RequestEntityTooLarge', code: 400 })
  const broken = await call('POST', '/default/registry-secrets', '{"spec": {"password": "planted" "')
  t.match(broken, { code: 400, body: { kind: 'Status', reason: 'BadRequest' } })
  t.notMatch(JSON.stringify(broken.body), /planted/)
  for (const body of ['null', '5', '"text"', '{}', '']) {
    t.match(await call('POST', '/default/repositories', body), { code: 400, body: { kind: 'Status' } }, body)
  }
  t.match((await call('POST', '/default/repositories', '')).body, {
    message: 'Repository is invalid: the document: expected a mapping, got nothing',
    details: { name: undefined, kind: 'repository' },
  })
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
  const unknown: [string, RegExp][] = [
    ['/oapis/image.theriseunion.io/v1beta1/namespaces/default/repositories', /no version "v1beta1".*v1alpha1/],
    ['/oapis/apps/v1/namespaces/default/deployments', /no API group "apps".*image\.theriseunion\.io/],
    [`${base}/default/pods`, /no kind "pods".*registry-secrets, repositories, image-cleanup-policies/],
    [`${base}/default/repositories/a/b/c`, /no GET/],
    ['/oapis', /image\.theriseunion\.io/],
  ]
  for (const [url, message] of unknown) {
    const answer = await app.inject({ url, headers: { authorization: 'Bearer admin' } })
    t.match(answer.json(), { apiVersion: 'image.theriseunion.io/v1alpha1', kind: 'Status', message, code: 404 }, url)
    t.equal(answer.statusCode, 404)
  }
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

t.test('a registry that fails or is silent is no fault of the agent', async t => {
  const { call, management } = await start(t)
  await call('POST', '/default/registry-secrets', source())
  const path = '/default/registry-secrets/harbor-main'
  const fails = (error: Error) => {
    management.listRepositories = async () => Promise.reject(error)
  }
  fails(new ImageError('DNS', 'no such host'))
  t.match(await call('GET', `${path}/repositories`), {
    code: 502,
    body: { reason: 'DNS', message: /no such host/, details: { name: 'harbor-main', kind: 'registry-secret' } },
  })
  fails(new ImageError('NAME_UNKNOWN', 'no such path'))
  t.match(await call('GET', `${path}/repositories`), { code: 404, body: { reason: 'NAME_UNKNOWN' } })
  fails(new DOMException('late', 'TimeoutError'))
  t.match(await call('GET', `${path}/repositories`), { code: 504, body: { reason: 'Timeout' } })
})
