/** Many objects in one call. */
import t from 'tap'
import { repository, source, start } from '../../fixtures/management-api.ts'

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
