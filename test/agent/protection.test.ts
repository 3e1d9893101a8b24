import t from 'tap'
import { protectWanted } from '../../src/agent/protection.ts'
import { digestOf } from '../../src/oci/digest.ts'

const digest = digestOf(Buffer.from('one'))

t.test('what is wanted in a repository is protected by its tag and by its digest', async t => {
  const asked: string[] = []
  const protects = protectWanted(repository => {
    asked.push(repository)
    return repository === 'mecm/web'
      ? [
          { holder: 'plan web', tag: '1', digest: null },
          { holder: 'Repository default/web', tag: null, digest },
        ]
      : []
  })
  t.equal(protects('mecm/web', { tag: '1' }), 'plan web')
  t.equal(protects('mecm/web', { digest }), 'Repository default/web')
  t.equal(protects('mecm/web', { tag: '2' }), undefined)
  t.equal(protects('mecm/other', { tag: '1' }), undefined)
  t.same(asked, ['mecm/web', 'mecm/web', 'mecm/web', 'mecm/other'], 'only that repository is looked at')
})
