import t from 'tap'
import { lookupIn } from '../../src/agent/content-lookup.ts'
import { findHeldContent } from '../../src/management/lifecycle/held-content.ts'
import { Ingests } from '../../src/state/ingests.ts'
import { ContentStore } from '../../src/store/content.ts'
import { image } from '../fixtures/images.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

t.test('of a plan that waits, everything that its staged manifest names is held, whatever its age', async t => {
  const dir = t.testdir()
  const state = openTestState(t, `${dir}/state`)
  const staging = new ContentStore({ root: `${dir}/staging`, ingests: new Ingests(state.db), logger: silent })
  await staging.start()
  const sample = image({ seed: 'waiting' })
  const { descriptor, bytes } = sample.root
  await staging.writeBytes(descriptor.digest, bytes)
  const lookup = lookupIn({ kind: 'external', staging }, { find: () => undefined })
  const holds = [{ repository: 'mecm/web', tag: '1', digest: descriptor.digest, holder: 'plan web' }]
  const held = await findHeldContent(holds, lookup, new AbortController().signal)
  for (const digest of sample.blobs.keys()) t.ok(held.kept.has(digest), digest)
  t.equal((await findHeldContent([], lookup, new AbortController().signal)).kept.size, 0)
})
