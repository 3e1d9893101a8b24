import t from 'tap'
import { readImageCleanupPolicy } from '../../../src/management/documents.ts'
import { openCleanupSite, whenever } from '../../fixtures/cleanup-site.ts'
import { image, withReferrers } from '../../fixtures/images.ts'
import { putSample, setTag } from '../../fixtures/open-store.ts'

const day = 86_400_000

function policy(spec: object, name = 'nightly', namespace = 'default') {
  return readImageCleanupPolicy({ metadata: { name, namespace }, spec })
}

t.test('a dry run tells the bytes that a run then frees, with shared layers counted once', async t => {
  const { store, policies } = await openCleanupSite(t)
  const shared = { seed: 'shared', bytes: 50_000 }
  for (const number of [1, 2, 3, 4]) {
    const sample = withReferrers(image({ seed: `v${number}`, layers: [shared, 1000 * number] }))
    await putSample(store, 'mecm/web', sample, `${number}.0.0`)
  }
  policies.create(policy({ keepRecent: 2 }), { who: 'anna' })
  const before = await store.content.usedBytes()
  const dry = await policies.dryRun('default', 'nightly', whenever)
  t.same(
    dry.items.map(({ tag, action }) => `${tag} ${action}`),
    ['4.0.0 keep', '3.0.0 keep', '2.0.0 remove', '1.0.0 remove'],
  )
  t.equal(await store.content.usedBytes(), before, 'nothing has changed')
  t.ok(dry.bytesFreed > 3000 && dry.bytesFreed < 50_000)
  const run = await policies.run('default', 'nightly', { who: 'anna' }, whenever)
  t.equal(run.bytesFreed, dry.bytesFreed)
  t.equal(await store.content.usedBytes(), before - dry.bytesFreed)
  t.same(store.tags('mecm/web', undefined, 10), ['3.0.0', '4.0.0'])
  t.match(policies.get('default', 'nightly').status.lastRun, { by: 'anna', removed: 2, bytesFreed: dry.bytesFreed })
  t.equal((await policies.dryRun('default', 'nightly', whenever)).bytesFreed, 0)
})

t.test('what plans and Repositories want stays, by tag and by digest', async t => {
  const { store, policies, held } = await openCleanupSite(t)
  const samples = ['1', '2', '3'].map(seed => image({ seed }))
  for (const [at, sample] of samples.entries()) await putSample(store, 'mecm/web', sample, `${at + 1}.0.0`)
  held.push({ holder: 'plan web', repository: 'mecm/web', tag: '1.0.0', digest: null })
  held.push({
    holder: 'Repository default/web',
    repository: 'mecm/web',
    tag: null,
    digest: samples[1]?.root.descriptor.digest ?? '',
  })
  policies.create(policy({ keepRecent: 0 }), { who: 'anna' })
  const { items } = await policies.run('default', 'nightly', { who: 'anna' }, whenever)
  t.same(items.map(({ tag, reason }) => `${tag}: ${reason}`).slice(1), [
    '2.0.0: Repository default/web wants it',
    '1.0.0: plan web wants it',
  ])
  t.same(store.tags('mecm/web', undefined, 10), ['1.0.0', '2.0.0'])
})

t.test('a plan that comes between the decision and the removal wins', async t => {
  const { store, policies, cleanup, held } = await openCleanupSite(t)
  await putSample(store, 'mecm/web', image(), '1.0.0')
  policies.create(policy({ keepRecent: 0 }), { who: 'anna' })
  const { shelf } = cleanup
  const remove = shelf.remove.bind(shelf)
  shelf.remove = async (...asked) => {
    held.push({ holder: 'plan late', repository: 'mecm/web', tag: '1.0.0', digest: null })
    return await remove(...asked)
  }
  const report = await policies.run('default', 'nightly', { who: 'anna' }, whenever)
  t.match(report, { items: [{ tag: '1.0.0', action: 'keep', reason: 'plan late wants it' }], bytesFreed: 0 })
  t.same(store.tags('mecm/web', undefined, 10), ['1.0.0'])
})

t.test('a pull counts as use, of the index by its parts, too', async t => {
  const { store, policies, clock } = await openCleanupSite(t)
  const [used, unused] = [image({ seed: 'used' }), image({ seed: 'unused' })]
  await putSample(store, 'mecm/web', used, 'used')
  await putSample(store, 'mecm/web', unused, 'unused')
  clock.now += 40 * day
  store.upkeep.uses.pulled('mecm/web', used.root.descriptor.digest)
  clock.now += 2 * day
  policies.create(policy({ unusedDays: 30 }), { who: 'anna' })
  const { items } = await policies.run('default', 'nightly', { who: 'anna' }, whenever)
  const byTag = new Map(items.map(item => [item.tag, item]))
  t.match(byTag.get('used'), { action: 'keep', reason: 'used 2 days ago, within 30 days' })
  t.match(byTag.get('unused'), { action: 'remove' })
})

t.test(
  "images of another namespace's Repositories are not touched, and stay its own after they are deleted",
  async t => {
    const { store, policies, namespaces } = await openCleanupSite(t)
    await putSample(store, 'team/app', image({ seed: 'a' }), '1.0.0')
    await putSample(store, 'mecm/web', image({ seed: 'b' }), '1.0.0')
    namespaces.add('team/app', 'team')
    policies.create(policy({ keepRecent: 0 }), { who: 'anna' })
    await policies.run('default', 'nightly', { who: 'anna' }, whenever)
    t.equal(store.hasRepository('mecm/web'), false)
    t.equal(store.hasRepository('team/app'), true)
    policies.create(policy({ keepRecent: 0 }, 'own', 'team'), { who: 'ben' })
    await policies.run('team', 'own', { who: 'ben' }, whenever)
    t.equal(store.hasRepository('team/app'), false)
  },
)

t.test('policies are kept, listed, changed and deleted, and each act is in the audit', async t => {
  const { policies, audit } = await openCleanupSite(t)
  const created = policies.create(policy({ keepRecent: 3, schedule: '0 2 * * *' }), { who: 'anna' })
  t.match(created, {
    kind: 'ImageCleanupPolicy',
    metadata: { name: 'nightly', namespace: 'default' },
    spec: { keepRecent: 3 },
  })
  t.match(created.status.nextRun, /T/)
  t.throws(() => policies.create(policy({ keepRecent: 3 }), { who: 'anna' }), /already exists/)
  t.equal(policies.apply(policy({ keepRecent: 3, schedule: '0 2 * * *' }), { who: 'anna' }).outcome, 'unchanged')
  t.equal(policies.apply(policy({ keepRecent: 4 }), { who: 'anna' }).outcome, 'configured')
  t.equal(policies.get('default', 'nightly').status.nextRun, undefined, 'its schedule has gone')
  const name = 'theriseunion.io/display-name'
  t.equal(
    policies.annotate('default', 'nightly', { [name]: 'Every Night' }, { who: 'anna' }).metadata.annotations[name],
    'Every Night',
  )
  policies.create(policy({ unusedDays: 3 }, 'other', 'team'), { who: 'ben' })
  t.equal(policies.list({ namespaces: 'all' }).totalItems, 2)
  t.same(
    policies.list({ namespaces: ['team'] }).items.map(({ metadata }) => metadata.name),
    ['other'],
  )
  t.same(
    policies.list({ namespaces: 'all', search: 'EVERY' }).items.map(({ metadata }) => metadata.name),
    ['nightly'],
  )
  await policies.run('default', 'nightly', { who: 'anna' }, whenever)
  policies.delete('default', 'nightly', { who: 'anna' })
  t.throws(() => policies.get('default', 'nightly'), /not found/)
  const actions = audit.list({ user: 'anna', outcome: 'success' }).items.map(record => record.action)
  t.same(actions.reverse(), [
    'policies:create',
    'policies:change',
    'policies:change',
    'policies:sync',
    'policies:delete',
  ])
})

t.test('a tag that was moved after the decision stays', async t => {
  const { store, policies, cleanup } = await openCleanupSite(t)
  const [old, young] = [image({ seed: 'old' }), image({ seed: 'young' })]
  await putSample(store, 'mecm/web', old, '1.0.0')
  await putSample(store, 'mecm/web', young)
  policies.create(policy({ keepRecent: 0 }), { who: 'anna' })
  const { shelf } = cleanup
  const remove = shelf.remove.bind(shelf)
  shelf.remove = async (...asked) => {
    await store.changeTags([setTag('mecm/web', '1.0.0', young.root)])
    return await remove(...asked)
  }
  const { items } = await policies.run('default', 'nightly', { who: 'anna' }, whenever)
  t.match(items, [{ action: 'keep', reason: 'it was changed meanwhile' }])
})
