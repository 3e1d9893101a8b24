import t from 'tap'
import { compareVersions, parseRange, parseVersion } from '../../src/management/semver.ts'
import { compareTags, parseTagPattern } from '../../src/management/tag-pattern.ts'

const tags = [
  '0.2.3',
  '0.2.9',
  '0.3.0',
  '1.2.3',
  '1.2.9',
  '1.9.0',
  '2.0.0',
  '2.0.0-rc.1',
  'v1.3.0',
  '1.4',
  'latest',
  '7',
]

t.test('ranges in the manner of npm', async t => {
  const fits: Record<string, string[]> = {
    '^1.2.3': ['1.2.3', '1.2.9', '1.9.0', 'v1.3.0', '1.4'],
    '^0.2.3': ['0.2.3', '0.2.9'],
    '~1.2.3': ['1.2.3', '1.2.9'],
    '~1': ['1.2.3', '1.2.9', '1.9.0', 'v1.3.0', '1.4'],
    '1.2.x': ['1.2.3', '1.2.9'],
    '1.x': ['1.2.3', '1.2.9', '1.9.0', 'v1.3.0', '1.4'],
    '>=1.9 <2': ['1.9.0'],
    '> 1.9': ['2.0.0'],
    '<=0.2': ['0.2.3', '0.2.9'],
    '1.2.3 - 1.3': ['1.2.3', '1.2.9', 'v1.3.0'],
    '0.3.0 || 2.0.0': ['0.3.0', '2.0.0'],
    '>=2.0.0-rc.0': ['2.0.0', '2.0.0-rc.1'],
    '=1.2.3': ['1.2.3'],
  }
  for (const [range, expected] of Object.entries(fits)) {
    const wanted = parseTagPattern(range)
    t.same(wanted && tags.filter(wanted), expected, range)
  }
  t.equal(parseRange('>*')?.({ major: 1, minor: 0, patch: 0, prerelease: [] }), false)
  for (const text of ['', 'latest', '1.2.3.4', '>>1', '^', 'a || b']) t.equal(parseRange(text), undefined, text)
})

t.test('globs', async t => {
  t.same(tags.filter(parseTagPattern('*') ?? (() => false)), tags)
  t.same(tags.filter(parseTagPattern('2.0.0-*') ?? (() => false)), ['2.0.0-rc.1'])
  t.same(tags.filter(parseTagPattern('l?test') ?? (() => false)), ['latest'])
  t.same(['release-1', 'release-12', 'prerelease-1'].filter(parseTagPattern('release-*') ?? (() => false)), [
    'release-1',
    'release-12',
  ])
  for (const text of ['latest', 'a b*', '', '*'.repeat(200)]) t.equal(parseTagPattern(text), undefined, text)
  const began = performance.now()
  parseTagPattern(`${'*a'.repeat(60)}b`)?.('a'.repeat(128))
  t.ok(performance.now() - began < 50, 'a pattern of many stars costs no time')
})

t.test('the order of versions', async t => {
  // semver.org, 11
  const ordered = [
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
  ]
  const versions = ordered.map(text => parseVersion(text)).filter(version => version !== undefined)
  t.equal(versions.length, ordered.length)
  t.same(versions.toReversed().toSorted(compareVersions), versions)
  const given = [{ tag: 'old', at: 1 }, { tag: '1.2.0' }, { tag: 'new', at: 2 }, { tag: '1.10.0' }]
  t.same(
    given.toSorted(compareTags).map(({ tag }) => tag),
    ['1.10.0', '1.2.0', 'new', 'old'],
  )
})
