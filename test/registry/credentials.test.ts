import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { CredentialStore, registryKey } from '../../src/registry/credentials.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')

function storeFor(
  t: Test,
  config: string | object,
  hosts: ConstructorParameters<typeof CredentialStore>[0]['hosts'] = [],
) {
  const dockerConfig = join(t.testdir(), 'config.json')
  writeFileSync(dockerConfig, typeof config === 'string' ? config : JSON.stringify(config))
  const lines: string[] = []
  const logger = pino({ level: 'warn' }, { write: line => lines.push(line) })
  return { store: new CredentialStore({ hosts, dockerConfig, logger }), lines }
}

t.test('a host has one name', async t => {
  t.equal(registryKey('https://index.docker.io/v1/'), 'docker.io')
  t.equal(registryKey('registry-1.docker.io'), 'docker.io')
  t.equal(registryKey('http://Registry.Example:5000/v2/x'), 'registry.example:5000')
})

t.test('every form of entry in auths', async t => {
  const { store } = storeFor(t, {
    auths: {
      'https://index.docker.io/v1/': { auth: base64('hub:p:with:colons') },
      'a.example': { username: 'u', password: 'p' },
      'https://b.example:5000/v2/': { identitytoken: 'refresh', auth: base64('00000000:x') },
      'c.example/team': { auth: base64('team:1') },
      'c.example': { auth: base64('whole:2') },
      'd.example': {},
      'e.example': { auth: 'no colon' },
    },
  })
  t.same(await store.find('docker.io'), { kind: 'basic', username: 'hub', password: 'p:with:colons' })
  t.same(await store.find('a.example'), { kind: 'basic', username: 'u', password: 'p' })
  t.same(await store.find('b.example:5000'), { kind: 'identity', token: 'refresh' })
  t.same(await store.find('c.example'), { kind: 'basic', username: 'whole', password: '2' })
  for (const host of ['d.example', 'e.example', 'f.example']) t.equal(await store.find(host), undefined)
})

t.test("a host's own options come first", async t => {
  const { store } = storeFor(t, { auths: { 'a.example': { auth: base64('file:1') } } }, [
    { host: 'a.example', username: 'own', password: '2' },
  ])
  t.match(await store.find('a.example'), { username: 'own', password: '2' })
})

t.test('credential helpers are named once, not run', async t => {
  const { store, lines } = storeFor(t, { credsStore: 'desktop', credHelpers: { 'a.example': 'ecr' }, auths: {} })
  await store.find('a.example')
  await store.find('b.example')
  t.equal(lines.length, 1)
  t.match(lines[0], /credential helpers/)
})

t.test('a file that can not be used is told once, without its content', async t => {
  for (const config of ['{"auths": secret', { auths: { 'a.example': { auth: 7 } } }]) {
    const { store, lines } = storeFor(t, config)
    t.equal(await store.find('a.example'), undefined)
    t.equal(await store.find('a.example'), undefined)
    t.equal(lines.length, 1)
    t.notMatch(lines[0], /secret/)
  }
})
