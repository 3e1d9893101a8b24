import t from 'tap'
import { ImageError } from '../../src/oci/errors.ts'
import { parseReference, parseRepositoryReference, parseTarget } from '../../src/oci/reference.ts'
import { hasUserinfo, withoutUserinfo } from '../../src/oci/userinfo.ts'

const digest = `sha256:${'a'.repeat(64)}`

t.test('a user and a password are not quoted, whatever they are made of', async t => {
  for (const [text, quoted] of [
    ['user:pw@host.example', '…@host.example'],
    ['https://user:pw@host.example/v2/', '…@host.example/v2/'],
    ['user:p/w@host.example/a/b:1', '…@host.example/a/b:1'],
    ['user:p@w@host.example/a', '…@host.example/a'],
    [`user:pw@host.example/a:1@${digest}`, `…@host.example/a:1@${digest}`],
    ['token@host.example/a', '…@host.example/a'],
  ] as const) {
    t.equal(withoutUserinfo(text), quoted)
    t.equal(hasUserinfo(text), text.lastIndexOf('/') > text.lastIndexOf('@') || text.includes(digest), text)
  }
  for (const text of [
    '',
    'nginx',
    'nginx@latest',
    `host:5000/a:1@${digest}`,
    `a@${digest}`,
    'host:5000/a@sha256:short',
  ]) {
    t.equal(withoutUserinfo(text), text)
    t.notOk(hasUserinfo(text), text)
  }
})

t.test('a reference with them is refused without telling any part of them', async t => {
  for (const parse of [parseReference, parseRepositoryReference, parseTarget]) {
    for (const text of [
      'user:geheim@h.example/a:1',
      'https://user:ge/heim@h.example/a',
      `u:GEHEIM@h.example/a@${digest}`,
    ]) {
      try {
        parse(text)
        t.fail(text)
      } catch (error) {
        if (!(error instanceof ImageError)) throw error
        t.equal(error.code, 'NAME_INVALID')
        t.match(error.message, /"…@h\.example\/a.*user name and password/)
        t.notMatch(error.message, /geheim|ge\/|heim/i)
      }
    }
  }
})
