import t from 'tap'
import { filterOf, Topics } from '../../src/mqtt/topics.ts'

const topics = new Topics('mecm/v1', 'sh-01', ['shops', 'ships', 'shops'])

t.same(topics.filters, ['mecm/v1/edges/sh-01/plans/+', 'mecm/v1/groups/shops/plans/+', 'mecm/v1/groups/ships/plans/+'])
t.equal(topics.state, 'mecm/v1/edges/sh-01/state')
t.equal(topics.below('plans/a/status'), 'mecm/v1/edges/sh-01/plans/a/status')
t.same(topics.parse('mecm/v1/edges/sh-01/plans/a'), { scope: 'edge', name: 'a' })
t.same(topics.parse('mecm/v1/groups/ships/plans/UPPER case'), { scope: 'group:ships', name: 'UPPER case' })
for (const foreign of [
  'mecm/v1/edges/sh-02/plans/a',
  'mecm/v1/groups/others/plans/a',
  'mecm/v1/edges/sh-01/plans/a/status',
  'mecm/v1/edges/sh-01/plans/',
  'mecm/v1/edges/sh-01/state',
  'mecm/v10/edges/sh-01/plans/a',
  'edges/sh-01/plans/a',
]) {
  t.equal(topics.parse(foreign), undefined, foreign)
}
t.equal(filterOf('mecm/v1/groups/others/plans/a'), 'mecm/v1/groups/others/plans/+')
