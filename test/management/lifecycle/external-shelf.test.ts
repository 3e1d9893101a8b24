import t, { type Test } from 'tap'
import { ExternalShelf } from '../../../src/management/lifecycle/external-shelf.ts'
import { ImageError } from '../../../src/oci/errors.ts'
import { ExternalTagRows } from '../../../src/state/external-tags.ts'
import { UseRows } from '../../../src/state/uses.ts'
import { Pins } from '../../../src/store/pins.ts'
import { whenever } from '../../fixtures/cleanup-site.ts'
import { image } from '../../fixtures/images.ts'
import { connect, startFake } from '../../fixtures/registry-client.ts'
import { offer } from '../../fixtures/site.ts'
import { openTestState, silent } from '../../fixtures/state-folder.ts'

async function openShelf(t: Test, change: { deleteTag?: 'refused'; deleteManifest?: 'refused' } = {}) {
  const fake = await startFake(t)
  const [one, two] = [image({ seed: 'one' }), image({ seed: 'two' })]
  offer(fake, 'mecm/web', '1', one)
  offer(fake, 'mecm/web', '2', two)
  offer(fake, 'mecm/web', 'latest', two)
  offer(fake, 'others/app', '1', one)
  const registry = connect(t, fake)
  const state = openTestState(t)
  const clock = { now: 1_000_000 }
  const unsupported = () => Promise.reject(new ImageError('UNSUPPORTED', 'the registry does not allow that'))
  const shelf = new ExternalShelf({
    registry: {
      host: registry.host,
      listTags: registry.listTags.bind(registry),
      resolve: registry.resolve.bind(registry),
      fetchManifest: registry.fetchManifest.bind(registry),
      deleteTag: change.deleteTag ? unsupported : registry.deleteTag.bind(registry),
      deleteManifest: change.deleteManifest ? unsupported : registry.deleteManifest.bind(registry),
    },
    placements: { repositories: () => ['mecm/web', 'mecm/gone'] },
    tags: new ExternalTagRows(state.db),
    uses: new UseRows(state.db),
    staging: { ingests: () => [], dropIngest: async () => undefined, pins: new Pins() },
    stagingCollector: { collect: async () => ({ manifests: 0, links: 0, files: 0, bytes: 0 }) },
    logger: silent,
    now: () => clock.now,
  })
  return { fake, shelf, clock, one, two, place: fake.content.repository('mecm/web') }
}

const nobody = () => undefined

t.test('images of the paths that this agent filled, dated by when they were first seen', async t => {
  const { shelf, clock, fake, one } = await openShelf(t)
  t.same(
    (await shelf.images(whenever)).map(({ repository, tag, updatedAt }) => [repository, tag, updatedAt]),
    [
      ['mecm/web', '1', 1_000_000],
      ['mecm/web', '2', 1_000_000],
      ['mecm/web', 'latest', 1_000_000],
    ],
  )
  clock.now += 5000
  offer(fake, 'mecm/web', 'latest', one)
  shelf.named([{ holder: 'plan', repository: 'mecm/web', tag: '1', digest: one.root.descriptor.digest }], clock.now)
  t.same(
    (await shelf.images(whenever)).map(({ tag, updatedAt, usedAt }) => [tag, updatedAt, usedAt]),
    [
      ['1', 1_000_000, 1_005_000],
      ['2', 1_000_000, 1_000_000],
      ['latest', 1_005_000, 1_005_000],
    ],
  )
})

t.test('tags are removed where the registry can do that', async t => {
  const { shelf, place } = await openShelf(t)
  const images = (await shelf.images(whenever)).filter(({ tag }) => tag !== '1')
  const { removed, kept } = await shelf.remove(images, image => (image.tag === '2' ? 'plan web' : undefined), whenever)
  t.same([removed.map(({ tag }) => tag), kept.map(({ reason }) => reason)], [['latest'], ['plan web wants it']])
  t.same([...place.tags.keys()], ['1', '2'])
})

t.test('a tag that goes only with its manifest takes no other tag along', async t => {
  const { shelf, place } = await openShelf(t, { deleteTag: 'refused' })
  const all = await shelf.images(whenever)
  const latest = all.filter(({ tag }) => tag === 'latest')
  const first = await shelf.remove(latest, nobody, whenever)
  t.match(first, { removed: [], kept: [{ reason: /removes a tag only with its manifest, and 2 needs that$/ }] })
  const both = all.filter(({ tag }) => tag !== '1')
  const manifests = place.manifests.size
  const second = await shelf.remove(both, nobody, whenever)
  t.equal(place.manifests.size, manifests - 1)
  t.equal(second.removed.length, 2, 'one delete takes both')
})

t.test('a registry without deletes is said to be one', async t => {
  const { shelf } = await openShelf(t, { deleteTag: 'refused', deleteManifest: 'refused' })
  const [image] = await shelf.images(whenever)
  if (!image) return t.fail('there are images')
  t.match(await shelf.remove([image], nobody, whenever), { removed: [], kept: [{ reason: /does not allow removal/ }] })
  t.match(shelf.limits.join('\n'), /its own garbage collection/)
})
