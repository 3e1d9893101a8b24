import t from 'tap'
import { digestMatches, digestOf, hasherFor, hexOf, isDigest, parseDigest, shortDigest } from '../../src/oci/digest.ts'

t.test('both registered algorithms are computed and verified', async t => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const digest = digestOf(Buffer.from('hello'), algorithm)
    t.equal(parseDigest(digest), digest)
    t.equal(digestMatches(digest, hasherFor(digest).update('hello')), true)
    t.equal(digestMatches(digest, hasherFor(digest).update('hullo')), false)
  }
  t.equal(digestOf(Buffer.from('')), 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

t.test('what is not a digest is refused, by code', async t => {
  const wrong = [
    '',
    'sha256',
    'sha256:',
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'A'.repeat(64)}`,
    `sha512:${'a'.repeat(64)}`,
  ]
  for (const text of wrong) {
    t.equal(isDigest(text), false, text)
    t.throws(() => parseDigest(text), { code: 'DIGEST_INVALID' }, text)
  }
  t.throws(() => parseDigest(`blake3:${'a'.repeat(64)}`), { code: 'UNSUPPORTED' })
})

t.test('a short form for people', async t => {
  const digest = digestOf(Buffer.from('x'))
  t.equal(shortDigest(digest), `sha256:${hexOf(digest).slice(0, 12)}`)
})
