/** What a merge patch may change. */
import t from 'tap'
import { policy, repository, source, start } from '../../fixtures/management-api.ts'

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

t.test("a policy's spec can be patched; what comes of it is checked as a whole", async t => {
  const { call } = await start(t)
  await call('POST', '/default/image-cleanup-policies', policy())
  const path = '/default/image-cleanup-policies/nightly'
  t.match(await call('PATCH', path, { spec: { keepRecent: 5, schedule: null } }), {
    code: 200,
    body: { spec: { keepRecent: 5 } },
  })
  t.notOk('schedule' in (await call('GET', path)).body.spec)
  t.match(await call('PATCH', path, { spec: { keepRecent: 'many' } }), {
    code: 400,
    body: { details: { kind: 'image-cleanup-policy', causes: [{ field: 'spec.keepRecent' }] } },
  })
  t.match(await call('PATCH', path, { spec: { keepRecent: null } }), { code: 400 }, 'nothing would say what may go')
  t.match(await call('PATCH', path, { metadata: { name: 'other' } }), { code: 400 })
})
