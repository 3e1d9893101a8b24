import t from 'tap'
import {
  formatReference,
  isRegistryHost,
  parseReference,
  parseRepositoryReference,
  parseTarget,
} from '../../src/oci/reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

t.test('references mean what docker and containerd read in them', async t => {
  const cases: Record<string, string> = {
    nginx: 'docker.io/library/nginx:latest',
    'nginx:1.27': 'docker.io/library/nginx:1.27',
    'grafana/grafana': 'docker.io/grafana/grafana:latest',
    'index.docker.io/library/nginx:1': 'docker.io/library/nginx:1',
    'docker.io/nginx': 'docker.io/library/nginx:latest',
    'localhost/a/b': 'localhost/a/b:latest',
    'registry.mecm.example/mecm/web:2.1.0': 'registry.mecm.example/mecm/web:2.1.0',
    '192.0.2.144/appstore/positioning_service:1.0': '192.0.2.144/appstore/positioning_service:1.0',
    '[2001:db8::1]:5000/a:1': '[2001:db8::1]:5000/a:1',
    'Registry.Example:5000/deep/er/path:v1': 'registry.example:5000/deep/er/path:v1',
    [`host:5000/a@${digest}`]: `host:5000/a@${digest}`,
    [`host:5000/a:1@${digest}`]: `host:5000/a:1@${digest}`,
  }
  for (const [text, meaning] of Object.entries(cases)) {
    t.equal(formatReference(parseReference(text)), meaning, text)
    t.equal(formatReference(parseReference(meaning)), meaning, `${meaning} is stable`)
  }
})

t.test('wrong references are refused by code, and say what is wrong', async t => {
  const cases: [string, string, RegExp][] = [
    ['', 'NAME_INVALID', /missing/],
    ['https://host/a:1', 'NAME_INVALID', /write it without: "host\/a:1"/],
    ['host.example/Upper:1', 'NAME_INVALID', /lower case/],
    ['host.example/a//b', 'NAME_INVALID', /between parts/],
    ['host.example:99999/a', 'NAME_INVALID', /not a host/],
    ['host.example/a:', 'TAG_INVALID', /not a tag/],
    [`host.example/a:${'x'.repeat(129)}`, 'TAG_INVALID', /not a tag/],
    ['host.example/a@sha256:short', 'DIGEST_INVALID', /not a digest/],
    [`host.example/${'a'.repeat(256)}`, 'NAME_INVALID', /longer than 255/],
  ]
  for (const [text, code, message] of cases) t.throws(() => parseReference(text), { code, message }, text)
})

t.test('a target is a name in the local registry', async t => {
  t.same(parseTarget('mecm/web:2.1.0'), { repository: 'mecm/web', tag: '2.1.0' })
  t.same(parseTarget('mecm/web'), { repository: 'mecm/web' })
  t.throws(() => parseTarget(`mecm/web@${digest}`), { code: 'NAME_INVALID' })
})

t.test('a mirror is a repository without tag or digest', async t => {
  t.same(parseRepositoryReference('mirror.example/mecm/web'), { registry: 'mirror.example', repository: 'mecm/web' })
  t.throws(() => parseRepositoryReference('mirror.example/mecm/web:1'), { code: 'NAME_INVALID' })
})

t.test('hosts', async t => {
  for (const host of ['a', 'a.b', 'a:5000', '10.0.0.1:5000', '[::1]:5000']) t.equal(isRegistryHost(host), true, host)
  for (const host of ['', 'a b', 'a/b', 'a:', 'a:99999', 'http://a']) t.equal(isRegistryHost(host), false, host)
})
