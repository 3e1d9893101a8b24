import t from 'tap'
import { RegistryFault } from '../../../src/http/registry/fault.ts'
import { parseRegistryPath } from '../../../src/http/registry/path.ts'
import { digestOf } from '../../../src/oci/digest.ts'

const digest = digestOf(Buffer.from('x'))
const long = digestOf(Buffer.from('x'), 'sha512')

t.test('what a path asks for', async t => {
  t.same(parseRegistryPath(''), { kind: 'base' })
  t.same(parseRegistryPath('_catalog'), { kind: 'catalog' })
  t.same(parseRegistryPath('mecm/web/tags/list'), { kind: 'tags', repository: 'mecm/web' })
  t.same(parseRegistryPath('web/manifests/2.1.0'), { kind: 'manifest', repository: 'web', reference: { tag: '2.1.0' } })
  t.same(parseRegistryPath(`a/b/c/d/manifests/${digest}`), {
    kind: 'manifest',
    repository: 'a/b/c/d',
    reference: { digest },
  })
  t.same(parseRegistryPath(`web/blobs/${long}`), { kind: 'blob', repository: 'web', digest: long })
  t.same(parseRegistryPath('mecm/web/blobs/uploads/'), { kind: 'uploads', repository: 'mecm/web' })
  t.same(parseRegistryPath('mecm/web/blobs/uploads'), { kind: 'uploads', repository: 'mecm/web' })
  t.same(parseRegistryPath('web/blobs/uploads/0a-1b'), { kind: 'upload', repository: 'web', id: '0a-1b' })
  t.same(parseRegistryPath(`web/referrers/${digest}`), { kind: 'referrers', repository: 'web', digest })
})

t.test('a repository may be called like a part of the API', async t => {
  t.match(parseRegistryPath('blobs/manifests/manifests/latest'), { repository: 'blobs/manifests' })
  t.match(parseRegistryPath(`my/tags/list/blobs/${digest}`), { kind: 'blob', repository: 'my/tags/list' })
  t.match(parseRegistryPath('a/blobs/uploads/manifests/v1'), { kind: 'manifest', repository: 'a/blobs/uploads' })
  t.match(parseRegistryPath('tags/list/tags/list'), { kind: 'tags', repository: 'tags/list' })
  t.match(parseRegistryPath(`${'a'.repeat(255)}/manifests/1`), { repository: 'a'.repeat(255) })
})

t.test('bad paths have a code each', async t => {
  const cases: [string, number, string][] = [
    ['nothing/here', 404, 'NAME_UNKNOWN'],
    ['manifests/latest', 404, 'NAME_UNKNOWN'],
    ['UPPER/manifests/latest', 400, 'NAME_INVALID'],
    ['../etc/manifests/latest', 400, 'NAME_INVALID'],
    [`${'a'.repeat(256)}/manifests/latest`, 400, 'NAME_INVALID'],
    ['web/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
    ['web/blobs/latest', 400, 'DIGEST_INVALID'],
    ['web/manifests/md5:abc', 400, 'DIGEST_INVALID'],
    [`web/referrers/${digest.toUpperCase()}`, 400, 'DIGEST_INVALID'],
    ['web/manifests/.dot', 404, 'MANIFEST_UNKNOWN'],
  ]
  for (const [path, status, code] of cases) {
    t.throws(() => parseRegistryPath(path), { name: RegistryFault.name, status, code }, path.slice(0, 40))
  }
})
