import t from 'tap'
import {
  allows,
  type Caller,
  namespacesOf,
  type Right,
  type Role,
  rights,
  rightsOf,
  roles,
} from '../../src/access/roles.ts'

const caller = (role: Role, namespace: string): Caller => ({ name: 'somebody', grants: [{ role, namespace }] })

t.test('the roles have on sources, repositories and policies what the contract says', async t => {
  const of = (role: Role) => rightsOf(role).filter(right => /^(?:sources|repositories|policies):/.test(right))
  t.strictSame(of('image-viewer'), ['sources:read', 'repositories:read', 'policies:read'])
  t.strictSame(
    of('image-operator').toSorted(),
    [
      'sources:read',
      ...['read', 'create', 'change', 'sync'].flatMap(verb => [`repositories:${verb}`, `policies:${verb}`]),
    ].toSorted(),
  )
  t.strictSame(rightsOf('image-admin'), Object.keys(rights))
})

t.test('each role has the rights of those before it; tokens, audit and deletes are for admins', async t => {
  const [viewer, operator] = [rightsOf('image-viewer'), rightsOf('image-operator')]
  t.ok(viewer.every(right => operator.includes(right)))
  t.notOk(operator.some(right => /^(?:tokens|audit|vault):|:delete$/.test(right)))
  t.ok(viewer.every(right => /:(?:read|pull)$/.test(right)))
})

t.test('a cluster-wide role holds everywhere', async t => {
  for (const role of roles) {
    t.ok(allows(caller(role, '*'), 'sources:read', 'shop'))
    t.ok(allows(caller(role, '*'), 'sources:read'))
    t.ok(allows(caller(role, '*'), 'plans:read'))
    t.equal(namespacesOf(caller(role, '*'), 'sources:read'), 'all')
  }
})

t.test('a role for a namespace holds there alone, and never for the edge as a whole', async t => {
  const admin = caller('image-admin', 'shop')
  t.ok(allows(admin, 'sources:delete', 'shop'))
  t.notOk(allows(admin, 'sources:delete', 'shops'))
  t.notOk(allows(admin, 'sources:delete', '*'))
  t.notOk(allows(admin, 'sources:read'), 'not over all namespaces')
  const whole: Right[] = ['tokens:create', 'audit:read', 'plans:read', 'plans:create', 'images:read', 'registry:push']
  for (const right of whole) {
    t.notOk(allows(admin, right))
    t.notOk(allows(admin, right, 'shop'), `${right} is not a matter of a namespace`)
    t.strictSame(namespacesOf(admin, right), [])
  }
})

t.test('several grants add up, each in its own namespace', async t => {
  const mixed: Caller = {
    name: 'm',
    grants: [
      { role: 'image-viewer', namespace: 'b' },
      { role: 'image-operator', namespace: 'a' },
      { role: 'image-operator', namespace: 'a' },
    ],
  }
  t.strictSame(namespacesOf(mixed, 'repositories:read'), ['a', 'b'])
  t.strictSame(namespacesOf(mixed, 'repositories:create'), ['a'])
  t.strictSame(namespacesOf(mixed, 'repositories:delete'), [])
  t.notOk(allows(mixed, 'repositories:create', 'b'))
  t.notOk(allows({ name: 'nobody', grants: [] }, 'sources:read', 'a'))
})
