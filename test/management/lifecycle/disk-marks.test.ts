import t from 'tap'
import { DiskMarks, type Mark } from '../../../src/management/lifecycle/disk-marks.ts'
import { openCleanupSite, whenever } from '../../fixtures/cleanup-site.ts'
import { image } from '../../fixtures/images.ts'
import { putSample } from '../../fixtures/open-store.ts'
import { silent } from '../../fixtures/state-folder.ts'

const day = 86_400_000

/** Images of about 10 kB each, put a day apart, and marks on their disk of 100 kB. */
async function openMarkedSite(t: Parameters<typeof openCleanupSite>[0], marks: { high: Mark; low: Mark }) {
  const site = await openCleanupSite(t)
  for (const number of [1, 2, 3, 4, 5]) {
    await putSample(
      site.store,
      'mecm/web',
      image({ seed: `i${number}`, layers: [10_000], compression: 'none' }),
      `${number}`,
    )
    site.clock.now += day
  }
  const usage = async () => {
    const contentBytes = await site.store.content.usedBytes()
    return { contentBytes, diskBytes: 100_000, freeBytes: 100_000 - contentBytes }
  }
  const parts = { cleanup: site.cleanup, audit: site.audit, logger: silent, usage }
  return { ...site, marks: new DiskMarks({ ...parts, ...marks }), usage }
}

t.test('below the high mark nothing is looked for', async t => {
  const { marks, store } = await openMarkedSite(t, { high: { share: 0.9 }, low: { share: 0.1 } })
  await marks.check(whenever)
  t.equal(marks.status.state, 'below')
  t.equal(store.tags('mecm/web', undefined, 10).length, 5)
})

for (const [name, high, low] of [
  ['a share of the disk', { share: 0.5 }, { share: 0.4 }],
  ['bytes of content', { bytes: 50_000 }, { bytes: 40_000 }],
] as const) {
  t.test(`above the high mark the longest unused go until the low mark: ${name}`, async t => {
    const { marks, store, audit, usage, clock } = await openMarkedSite(t, { high, low })
    const first = store.findTag('mecm/web', '1')
    if (first) store.upkeep.uses.pulled('mecm/web', first.descriptor.digest)
    clock.now += day
    await marks.check(whenever)
    t.same(store.tags('mecm/web', undefined, 10), ['1', '4', '5'], 'the oldest was pulled a day ago')
    t.ok((await usage()).contentBytes < 40_000)
    t.match(marks.status, { state: 'below', removedImages: 2 })
    t.ok(marks.status.freedBytes > 20_000)
    t.match(audit.list().items[0], { who: 'system', action: 'images:delete', outcome: 'success', detail: { count: 2 } })
  })
}

t.test('when nothing more may go, it says who holds the space', async t => {
  const { marks, store, held, audit } = await openMarkedSite(t, { high: { share: 0.2 }, low: { share: 0.1 } })
  for (const tag of ['1', '2', '3']) held.push({ holder: 'plan web', repository: 'mecm/web', tag, digest: null })
  held.push({ holder: 'Repository default/web', repository: 'mecm/web', tag: '4', digest: null })
  await marks.check(whenever)
  t.same(store.tags('mecm/web', undefined, 10), ['1', '2', '3', '4'])
  t.equal(marks.status.state, 'full')
  t.match(marks.status.message, /nothing more may go: the space is held by plan web \(0 MB\), Repository default\/web/)
  t.same(
    marks.status.heldBy.map(({ holder }) => holder),
    ['plan web', 'Repository default/web'],
  )
  t.equal(audit.list({ outcome: 'failure' }).totalItems, 1)
  await marks.check(whenever)
  t.equal(audit.list({ outcome: 'failure' }).totalItems, 1, 'said once')
})

t.test('content that a reader still takes does not drag the others along', async t => {
  const { marks, store } = await openMarkedSite(t, { high: { share: 0.5 }, low: { share: 0.4 } })
  for (const tag of ['1', '2', '3', '4', '5']) {
    const found = store.findTag('mecm/web', tag)
    if (found) store.upkeep.uses.asked('mecm/web', found.descriptor.digest)
  }
  await marks.check(whenever)
  t.ok(store.tags('mecm/web', undefined, 10).length >= 3)
  t.equal(marks.status.state, 'cleaning')
})
