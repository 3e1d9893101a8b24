import t from 'tap'
import { digestOf } from '../../src/oci/digest.ts'
import { RecentLookups } from '../../src/transfer/recent-lookups.ts'

const digest = digestOf(Buffer.from('blob'))

t.test('an answer is good for a while, for its repository alone', t => {
  let now = 0
  const lookups = new RecentLookups(() => now)
  t.equal(lookups.find('a', digest), undefined)
  lookups.record('a', digest, false)
  t.equal(lookups.find('a', digest), false)
  t.equal(lookups.find('b', digest), undefined)
  lookups.record('a', digest, true)
  now = 29_000
  t.equal(lookups.find('a', digest), true)
  now = 30_000
  t.equal(lookups.find('a', digest), undefined)
  t.end()
})

t.test('all is forgotten at once, and no more than so many are kept', t => {
  const lookups = new RecentLookups(() => 0)
  for (let at = 0; at < 10_001; at++) lookups.record(`r${at}`, digest, true)
  t.equal(lookups.find('r0', digest), undefined)
  t.equal(lookups.find('r1', digest), true)
  lookups.forget()
  t.equal(lookups.find('r1', digest), undefined)
  t.end()
})

t.test('an acknowledgement is an answer, and makes sure once', t => {
  let now = 0
  const lookups = new RecentLookups(() => now)
  t.equal(lookups.useTaken('a', digest), false)
  lookups.recordTaken('a', digest)
  t.equal(lookups.find('a', digest), true)
  t.equal(lookups.useTaken('b', digest), false)
  now = 300_000
  t.equal(lookups.useTaken('a', digest), true)
  t.equal(lookups.useTaken('a', digest), false)
  lookups.recordTaken('a', digest)
  now += 600_000
  t.equal(lookups.useTaken('a', digest), false, 'it is too old')
  lookups.recordTaken('a', digest)
  lookups.forget()
  t.equal(lookups.useTaken('a', digest), false)
  t.end()
})

t.test('what is too old to count takes no memory', t => {
  let now = 0
  const lookups = new RecentLookups(() => now)
  for (let at = 0; at < 100; at++) lookups.recordTaken(`r${at}`, digest)
  t.equal(lookups.size, 200)
  now = 30_000
  lookups.record('next', digest, true)
  t.equal(lookups.size, 101, 'answers go, acknowledgements count for longer')
  now = 600_000
  lookups.recordTaken('last', digest)
  t.equal(lookups.size, 2)
  t.end()
})
