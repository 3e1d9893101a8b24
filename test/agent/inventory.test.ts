import t from 'tap'
import { inventoryOf, takeInventory } from '../../src/agent/inventory.ts'
import { image } from '../fixtures/images.ts'
import { openTestStore, putSample, setTag } from '../fixtures/open-store.ts'

t.test('the fingerprint is the same for the same names at the same content, in whatever order', async t => {
  const [a, b] = [
    { repository: 'mecm/a', tag: '1', digest: 'sha256:a' },
    { repository: 'mecm/b', tag: null, digest: 'sha256:b' },
  ]
  t.same(takeInventory([a, b]), takeInventory([b, a]))
  t.equal(takeInventory([a, b]).images, 2)
  t.not(takeInventory([a]).fingerprint, takeInventory([{ ...a, digest: 'sha256:b' }]).fingerprint)
  t.not(takeInventory([a]).fingerprint, takeInventory([{ ...a, tag: '2' }]).fingerprint)
})

t.test('the tags of a store are looked at only when something has changed there', async t => {
  const { store } = await openTestStore(t)
  let looks = 0
  const inventory = inventoryOf({
    get changes() {
      return store.changes
    },
    allTags() {
      looks += 1
      return store.allTags()
    },
  })
  const [one, two] = [image({ seed: 'one' }), image({ seed: 'two' })]
  await putSample(store, 'mecm/web', one, '1')
  await putSample(store, 'mecm/web', two)
  const seen = new Set<string>()
  const isNew = (images: number) => {
    const { fingerprint } = inventory()
    t.equal(inventory().images, images)
    t.equal(inventory().fingerprint, fingerprint)
    t.notOk(seen.has(fingerprint))
    seen.add(fingerprint)
    t.equal(looks, seen.size, 'one look for each change')
  }
  isNew(1)
  await store.changeTags([setTag('mecm/web', '2', one.root)])
  isNew(2)
  await store.changeTags([setTag('mecm/web', '2', two.root)])
  isNew(2)
  store.upkeep.removeTags([{ repository: 'mecm/web', tag: '1', digest: one.root.descriptor.digest }])
  isNew(1)
  store.removeManifest('mecm/web', two.root.descriptor.digest)
  isNew(0)
})
