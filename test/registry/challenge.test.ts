import t from 'tap'
import { parseChallenges } from '../../src/registry/challenge.ts'

const read = (...values: string[]) =>
  parseChallenges(values).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

t.test('a Bearer challenge with commas inside quotes', async t => {
  t.same(read('Bearer realm="https://auth.example/token",service="a,b",scope="repository:mecm/web:pull,push"'), [
    ['bearer', { realm: 'https://auth.example/token', service: 'a,b', scope: 'repository:mecm/web:pull,push' }],
  ])
})

t.test('several challenges, in one value and in several', async t => {
  const both = [
    ['basic', { realm: 'x' }],
    ['bearer', { realm: 'https://a/t', service: 's' }],
  ]
  t.same(read('Basic realm="x", Bearer realm="https://a/t", service=s'), both)
  t.same(read('Basic realm="x"', 'BEARER Realm="https://a/t" , service = "s"'), both)
})

t.test('schemes without parameters and escaped quotes', async t => {
  t.same(read('Negotiate, Basic realm="say \\"hi\\""'), [
    ['negotiate', {}],
    ['basic', { realm: 'say "hi"' }],
  ])
})

t.test('what is not a challenge gives none and takes no time', async t => {
  t.same(read(''), [])
  t.same(read('=,=,"'), [])
  t.same(read('Basic realm="never closed'), [['basic', { realm: '' }]])
  const before = performance.now()
  parseChallenges([`Bearer ${'a="\\'.repeat(100_000)}`])
  t.ok(performance.now() - before < 500)
})
