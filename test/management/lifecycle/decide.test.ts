import t from 'tap'
import { type CleanupSpec, decide, type Question } from '../../../src/management/lifecycle/decide.ts'
import type { LocalImage } from '../../../src/management/lifecycle/shelf.ts'
import { digestOf } from '../../../src/oci/digest.ts'

const day = 86_400_000
const now = 1000 * day

function version(tag: string, facts: { repository?: string; ageDays?: number; unusedDays?: number } = {}): LocalImage {
  const { repository = 'mecm/web', ageDays = 100, unusedDays = ageDays } = facts
  const digest = digestOf(Buffer.from(`${repository}:${tag}`))
  return { repository, tag, digest, updatedAt: now - ageDays * day, usedAt: now - unusedDays * day }
}

function ask(images: readonly LocalImage[], spec: CleanupSpec, change: Partial<Question> = {}) {
  const question = {
    spec,
    namespace: 'default',
    namespacesOf: () => ['default'],
    holderOf: () => undefined,
    now,
    ...change,
  }
  return decide(images, question)
}

function removed(images: readonly LocalImage[], spec: CleanupSpec, change?: Partial<Question>): string[] {
  return ask(images, spec, change)
    .filter(verdict => verdict.action === 'remove')
    .map(({ image }) => image.tag)
}

t.test('versions are ordered as semver where all of a path are', async t => {
  const tags = ['1.9.0', 'v1.10.0', '1.10.0-rc.1', '2.0.0-alpha', '1.10.0-rc.11', '1.10.0-rc.2']
  t.same(
    ask(
      tags.map(tag => version(tag)),
      { keepRecent: 3 },
    ).map(({ image, action }) => `${image.tag} ${action}`),
    [
      '2.0.0-alpha keep',
      'v1.10.0 keep',
      '1.10.0-rc.11 keep',
      '1.10.0-rc.2 remove',
      '1.10.0-rc.1 remove',
      '1.9.0 remove',
    ],
  )
})

t.test('versions are ordered by date where one of a path is no version', async t => {
  const images = [version('1.0.0', { ageDays: 1 }), version('3.0.0', { ageDays: 9 }), version('latest', { ageDays: 5 })]
  t.same(removed(images, { keepRecent: 2 }), ['3.0.0'])
})

t.test('each path has its own newest versions', async t => {
  const images = ['1.0.0', '2.0.0'].flatMap(tag => [version(tag), version(tag, { repository: 'mecm/db' })])
  t.same(removed(images, { keepRecent: 1 }), ['1.0.0', '1.0.0'])
})

t.test('with both rules, an image goes only when neither keeps it', async t => {
  const images = [
    version('3.0.0', { unusedDays: 90 }),
    version('2.0.0', { unusedDays: 3 }),
    version('1.0.0', { unusedDays: 40 }),
  ]
  t.same(removed(images, { keepRecent: 1, unusedDays: 30 }), ['1.0.0'])
  t.same(removed(images, { unusedDays: 30 }), ['3.0.0', '1.0.0'])
  t.same(removed(images, { keepRecent: 0 }), ['3.0.0', '2.0.0', '1.0.0'])
  t.same(removed(images, { unusedDays: 41 }), ['3.0.0'])
})

t.test('every image has its reason', async t => {
  const images = ['4.0.0', '3.0.0', '2.0.0', '1.0.0'].map(tag => version(tag, { unusedDays: 45 }))
  const reasons = ask(
    [...images, version('5', { repository: 'other/app' })],
    { keepRecent: 1, unusedDays: 30, exclude: [{ name: 'mecm/*', tag: '3.*' }] },
    {
      holderOf: image => (image.tag === '2.0.0' ? 'plan web' : undefined),
      namespacesOf: repository => [repository.startsWith('other') ? 'other' : 'default'],
    },
  ).map(({ reason }) => reason)
  t.same(reasons, [
    'one of the 1 newest of its path (number 1 of 4 by version)',
    'the policy excludes it',
    'plan web wants it',
    'nobody wants it, and it is not one of the 1 newest of its path (number 4 of 4 by version) and last used 45 days ago, not within 30 days',
    'its path belongs to the namespace other, which the policy does not name',
  ])
})

t.test(
  'a policy speaks for its own namespace, or for those that it names, and only where it names all of a path',
  async t => {
    const images = [version('1.0.0')]
    const change = { namespacesOf: () => ['a', 'b'] }
    t.same(removed(images, { keepRecent: 0 }, { ...change, namespace: 'a' }), [])
    t.same(removed(images, { keepRecent: 0, namespaces: ['b'] }, { ...change, namespace: 'a' }), [])
    t.same(removed(images, { keepRecent: 0, namespaces: ['a', 'b'] }, change), ['1.0.0'])
  },
)

t.test("a signature's tag goes with what it signs", async t => {
  const [old, young] = [version('1.0.0'), version('2.0.0')]
  const signatures = [old, young].map(({ digest }) => version(`${digest.replace(':', '-')}.sig`))
  const verdicts = ask([old, young, ...signatures], { keepRecent: 1 })
  t.same(
    verdicts.map(({ action }) => action),
    ['keep', 'remove', 'remove', 'keep'],
  )
  t.match(verdicts[0]?.reason, /number 1 of 2 by version/, 'it is no version of its own')
})
