/** All that the OCI's conformance programme asks with every category switched on, at the embedded registry: nothing fails. */
import t from 'tap'
import { checkConformance } from '../../../fixtures/conformance.ts'
import { startPushRegistry } from '../../../fixtures/push-registry.ts'

t.test('every check of every category holds, and nothing is left behind', async t => {
  const { client, store } = await startPushRegistry(t)
  const checks = await checkConformance(client)
  t.same(checks.failures, [])
  t.comment(`${checks.made} checks`)
  t.ok(checks.made > 1500, 'none was left out')
  t.equal(store.uploads.bytes, 0)
  t.same(store.catalog(undefined, 10), [])
})
