import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { Placements } from '../../src/state/placements.ts'
import { openTestState } from '../fixtures/state-folder.ts'

t.test('placements are remembered and can be taken back', async t => {
  const placements = new Placements(openTestState(t).db)
  const digest = digestOf(Buffer.from('layer'))
  const other = digestOf(Buffer.from('other'))
  t.equal(placements.has('mecm/web', digest), false)
  for (const repository of ['mecm/web', 'mecm/db', 'mecm/web']) placements.add(repository, digest)
  placements.add('mecm/web', other)
  t.equal(placements.has('mecm/web', digest), true)
  t.same(placements.repositoriesOf(digest), ['mecm/db', 'mecm/web'])
  placements.remove('mecm/web', digest)
  placements.remove('mecm/web', digest)
  t.equal(placements.has('mecm/web', digest), false)
  t.same(placements.repositoriesOf(digest), ['mecm/db'])
  t.same(placements.repositoriesOf(other), ['mecm/web'])
})
