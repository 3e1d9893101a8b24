import t from 'tap'
import { matchesGlob } from '../../../src/management/lifecycle/glob.ts'

t.test('globs', async t => {
  for (const [glob, text, expected] of [
    ['library/nginx', 'library/nginx', true],
    ['library/nginx', 'library/nginx2', false],
    ['*', '', true],
    ['*', 'a/b', true],
    ['a*c', 'abbc', true],
    ['a*c', 'abbd', false],
    ['*.sig', 'x.sig', true],
    ['1.?', '1.2', true],
    ['1.?', '1.22', false],
    ['1.?', '1.', false],
    ['a*b*c', 'aXbXbc', true],
    ['', '', true],
    ['', 'a', false],
    ['a.c', 'abc', false],
  ] as const) {
    t.equal(matchesGlob(glob, text), expected, `${glob} on "${text}"`)
  }
})

t.test('no glob keeps it busy', async t => {
  const started = performance.now()
  t.equal(matchesGlob(`${'*a'.repeat(60)}b`, 'a'.repeat(255)), false)
  t.ok(performance.now() - started < 100)
})
