/**
 * Secrets planted in every field that takes one, and in places where people put them by mistake; used rightly, refused, and echoed by
 * hostile registries. Then everything that the agent has said or written is searched for them: answers, log, audit, metrics, database, files,
 * statuses, what commands print. Where a secret belongs (the vault's key, the admin token, the answer that makes a token) is left out by name.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { runCommand } from '../fixtures/command-line.ts'
import { planOf, putSample } from '../fixtures/edge-site.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { image } from '../fixtures/images.ts'
import { PlantedSecrets } from '../fixtures/planted.ts'
import { type Said, type Site, startSite, until } from '../fixtures/secrets-site.ts'

const base = '/oapis/image.theriseunion.io/v1alpha1/namespaces/default'
const Created = Type.Object({ token: Type.String() })
const forever = Number.POSITIVE_INFINITY

t.test('no planted secret stands anywhere', { timeout: 110_000 }, async t => {
  const planted = new PlantedSecrets()
  const site = await startSite(t, planted)
  await useSources(site, planted)
  await usePlans(site, planted)
  await useTokens(site, planted)
  const printed = await runCommands(site, planted)
  await site.call('POST', '/v1/vault/rotate')
  for (const path of [
    '/v1/audit?limit=1000',
    '/v1/audit/export',
    '/v1/status',
    '/v1/images',
    '/v1/plans',
    '/metrics',
    '/openapi.json',
    '/readyz',
  ]) {
    t.equal((await site.call('GET', path)).status, 200, path)
  }
  planted.add("the vault's key", Buffer.from(firstKey(site.stateDir), 'base64'))

  for (const [what, found] of search(site.said, planted)) t.same(found, [], `answer to ${what}`)
  for (const [what, found] of search(printed, planted)) t.same(found, [], `printed by ${what}`)
  for (const [what, found] of search(site.published, planted)) t.same(found, [], `published on ${what}`)
  checkFiles(t, site, planted, 'while it runs')
  await site.agent.stop()
  checkFiles(t, site, planted, 'after its end')

  t.ok(site.published.length > 3, 'statuses came over MQTT')
  t.ok(planted.foundIn(readFileSync(site.agent.configFile)).length >= 2, 'the search finds what is there')
})

/** Sources: right, wrong, refused, echoed, and with passwords where none belong. */
async function useSources({ call, upstream }: Site, planted: PlantedSecrets): Promise<void> {
  const own = planted.plant('source')
  const source = await FakeRegistry.start({ auth: { scheme: 'bearer', username: 'robot$src', password: own } })
  putSample(source, 'mecm/app', '1', image({ seed: 'app' }))
  const create = (name: string, spec: object) => call('POST', `${base}/registry-secrets`, { metadata: { name }, spec })
  const right = { domain: source.host, username: 'robot$src', password: own, provider: 'other' }
  await create('right', right)
  await create('right', { ...right, password: planted.plant('conflict') })
  await create('wrong', { ...right, password: planted.plant('wrong-source') })
  await create('harbor', { ...right, provider: 'harbor', password: planted.plant('harbor') })
  await create('closed', { ...right, domain: '127.0.0.1:1', password: planted.plant('closed') })
  await create('scheme', { ...right, domain: `https://${source.host}`, password: planted.plant('scheme') })
  await create('typo', { ...right, pasword: planted.plant('typo') })
  await create('object', { ...right, password: { value: planted.plant('object') } })
  await create('userinfo', { ...right, domain: `user:${planted.plant('userinfo')}@${source.host}` })
  await create('url', {
    ...right,
    domain: `https://user:${encodeURIComponent(planted.plant('url'))}@${source.host}/v2/`,
  })
  await call('POST', `${base}/registry-secrets`, `{"spec": {"password": "${planted.plant('cut')}`)
  for (const [name, spec] of [
    ['app', { registryRef: { name: 'right', namespace: 'default' } }],
    ['app-wrong', { registryRef: { name: 'wrong', namespace: 'default' }, repository: 'mecm/other' }],
    ['app-closed', { registryRef: { name: 'closed', namespace: 'default' }, repository: 'mecm/closed' }],
    ['app-url', { repository: `https://u:${planted.plant('repository')}@${source.host}/mecm/app` }],
    ['app-extra', { password: planted.plant('repository-password') }],
  ] as const) {
    const whole = {
      repository: 'mecm/app',
      tag: '1',
      retryCount: 0,
      registryRef: { name: 'right', namespace: 'default' },
      ...spec,
    }
    await call('POST', `${base}/repositories`, { metadata: { name }, spec: whole })
  }
  const given = (name: string) => ({ domain: source.host, username: 'u', password: planted.plant(name) })
  await call('POST', `${base}/registry-secrets/right/verify`, given('verify'))
  await call('POST', `${base}/registry-secrets/right/verify`, { ...given('verify-domain'), domain: 'https://x' })
  await call('POST', `${base}/registry-secrets/right/verify`, { password: planted.plant('verify-alone') })
  await call('POST', `${base}/registry-secrets/absent/verify`, given('verify-absent'))
  for (const name of ['right', 'wrong', 'harbor', 'closed'])
    await call('POST', `${base}/registry-secrets/${name}/verify`, {})
  const patch = { spec: { password: planted.plant('patched') } }
  await call('PATCH', `${base}/registry-secrets/right`, patch)
  for (const name of ['app', 'app-wrong', 'app-closed']) await ended(call, name)
  // A registry that repeats what it was shown, and one that redirects to a signed address.
  const echo = { do: 'status', status: 403, code: 'DENIED', message: `robot$src:${own} may not do this` } as const
  source.fault({}, echo, forever)
  await call('POST', `${base}/registry-secrets/right/verify`, {})
  await call('POST', `${base}/repositories/app/sync`)
  await ended(call, 'app', 'Failed')
  for (const path of [
    'registry-secrets',
    'repositories',
    'registry-secrets/right',
    'repositories/app',
    'repositories/app/runs',
  ]) {
    await call('GET', `${base}/${path}`)
  }
  await call('GET', `${base}/registry-secrets/right/tags?repository=mecm/app`)
  await call('GET', `${base}/registry-secrets/right/repositories`)
  await call('DELETE', `${base}/registry-secrets/wrong`)
  await call('DELETE', `${base}/registry-secrets/closed`)
  await call('DELETE', `${base}/repositories/app-closed`)
  await source.stop()
  upstream.clearLog()
}

/** Plans that work, that fail at signed addresses, and that carry a password themselves. */
async function usePlans(site: Site, planted: PlantedSecrets): Promise<void> {
  const { publish, upstream, second, call } = site
  const topic = (name: string) => `mecm/v1/edges/edge-01/plans/${name}`
  const send = (name: string, source: string) => publish(topic(name), JSON.stringify(planOf(name, 1, [{ source }])))
  await send('good', `${upstream.host}/mecm/web:1`)
  await send('docker', `${second.host}/mecm/web:1`)
  await told(site, 'good', 'Ready')
  await told(site, 'docker', 'Ready')
  await send('userinfo', `user:${planted.plant('plan-userinfo')}@${upstream.host}/mecm/web:1`)
  await send('url', `https://user:${planted.plant('plan-url')}@${upstream.host}/mecm/web:1`)
  await publish(topic('typo'), JSON.stringify({ ...planOf('typo', 1, []), password: planted.plant('plan-password') }))
  const signed = `${second.url}/gone?X-Amz-Signature=${encodeURIComponent(planted.plant('signature'))}&X-Amz-Credential=x`
  putSample(upstream, 'mecm/signed', '1', image({ seed: 'signed' }))
  upstream.fault({ kind: 'blob' }, { do: 'redirect', to: signed }, forever)
  await send('signed', `${upstream.host}/mecm/signed:1`)
  for (const name of ['userinfo', 'url', 'typo']) await told(site, name, 'Rejected')
  await told(site, 'signed', 'Failed|Waiting|Retry')
  await call('POST', '/v1/plans', {
    ...planOf('http', 1, []),
    metadata: { name: 'http', token: planted.plant('plan-token') },
  })
}

/** Tokens: made, used at both ports, wrong ones, and one in an address. */
async function useTokens({ call, agent, said }: Site, planted: PlantedSecrets): Promise<void> {
  const answer = await call('POST', '/v1/tokens', { name: 'push', grants: [{ role: 'image-admin', namespace: '*' }] })
  said.pop() // the one answer that tells it
  const { token } = Parse(Created, JSON.parse(answer.text))
  planted.add('a token', token)
  const registry = `http://${agent.registry}`
  const basic = (secret: string) => ({ authorization: `Basic ${Buffer.from(`me:${secret}`).toString('base64')}` })
  const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
  await call('GET', '/v1/tokens', undefined, bearer(token))
  await call('POST', `${registry}/v2/mecm/new/blobs/uploads/`, undefined, basic(token))
  await call('GET', '/v1/plans', undefined, bearer(planted.plant('wrong-bearer')))
  await call('GET', '/docs', undefined, basic(planted.plant('wrong-docs')))
  await call('GET', `${registry}/token?service=x`, undefined, basic(planted.plant('wrong-login')))
  await call('POST', `${registry}/v2/mecm/new/blobs/uploads/`, undefined, bearer(planted.plant('wrong-push')))
  await call('GET', `/v1/plans?token=${encodeURIComponent(planted.plant('query'))}`)
  await call('GET', `/v1/${encodeURIComponent(planted.plant('path'))}`, undefined, {})
  await call('POST', '/v1/tokens', { name: 'x', grants: [], secret: planted.plant('new-token') })
  await call('DELETE', '/v1/tokens/push')
  await call('GET', '/v1/plans', undefined, bearer(token))
}

/** What commands print: of the running agent, and of configurations with passwords in the wrong places. */
async function runCommands({ agent, dir, stateDir }: Site, planted: PlantedSecrets): Promise<Said[]> {
  const token = readFileSync(join(stateDir, 'admin-token'), 'utf8').trim()
  const env = { EDGE_IMAGE_AGENT_API: agent.api, EDGE_IMAGE_AGENT_TOKEN: token }
  mkdirSync(join(dir, 'wrong'))
  const wrong = (name: string, text: string) => {
    const file = join(dir, 'wrong', `${name}.yaml`)
    writeFileSync(file, text)
    return ['config', 'check', file]
  }
  const secret = (name: string) => planted.plant(`config-${name}`)
  const document = join(dir, 'wrong/source.yaml')
  const spec = `{domain: "https://h.example", username: u, password: "${secret('document')}", provider: other, pass: "${secret('extra')}"}`
  writeFileSync(document, `kind: RegistrySecret\nmetadata: {name: from-file}\nspec: ${spec}\n`)
  const outputs: Said[] = []
  for (const words of [
    ...[
      ['get', 'rs,repo', '-o', 'yaml'],
      ['describe', 'rs', 'right'],
      ['describe', 'repo', 'app'],
      ['status', '--json'],
    ],
    ...[
      ['audit', 'export'],
      ['audit', 'list'],
      ['plan', 'list', '--json'],
      ['config', 'show', '--config', agent.configFile],
    ],
    ['config', 'check', agent.configFile],
    wrong('mqtt', `mqtt: {url: "mqtt://user:${secret('mqtt-url')}@broker.example"}`),
    wrong('upstream', `upstreams: [{host: "https://u:${secret('host')}@h.example", password: "${secret('alone')}"}]`),
    wrong('external', `registry: {external: {url: "http://u:${secret('external')}@127.0.0.1:5000"}}`),
    wrong('mirror', `upstreams: [{host: h.example, mirrors: ["u:${secret('mirror')}@m.example"]}]`),
    wrong('typo', `mqtt: {url: mqtt://b.example, pasword: "${secret('typo')}", username: u}`),
    wrong('type', `upstreams: [{host: h.example, username: u, password: ["${secret('list')}"]}]`),
    wrong('shape', `upstreams: {host: h.example, username: u, password: "${secret('shape')}"}`),
    wrong('text', `mqtt: "mqtt://u:${secret('text')}@b.example"`),
    ['pull', `u:${secret('pull')}@127.0.0.1:1/a:1`, '--config', agent.configFile],
    wrong('yaml', `mqtt: {password: "${secret('cut')}`),
    ['apply', '-f', document],
  ]) {
    const { stdout, stderr } = await runCommand(words, { env })
    outputs.push([words.join(' '), `${stdout}\n${stderr}`])
  }
  return outputs
}

function* search(said: readonly Said[], planted: PlantedSecrets): Generator<[string, string[]]> {
  for (const [what, text] of said)
    yield [planted.foundIn(what).length > 0 ? 'a call with a secret in it' : what, planted.foundIn(text)]
}

/** The log, and every file of the state folder but the two that are there to hold a secret. */
function checkFiles(t: Test, { agent, stateDir }: Site, planted: PlantedSecrets, when: string): void {
  const files = readdirSync(stateDir, { recursive: true, encoding: 'utf8' }).map(name => join(stateDir, name))
  const held = ['vault-key', 'admin-token']
  const searched = files.filter(file => statSync(file).isFile() && !held.includes(basename(file)))
  t.ok(
    searched.some(file => file.endsWith('agent.db')),
    'the database is among them',
  )
  for (const file of [...searched, agent.logFile])
    t.same(planted.foundIn(readFileSync(file)), [], `${basename(file)} ${when}`)
}

/** The first key of the vault's file, base64. */
function firstKey(stateDir: string): string {
  const lines = readFileSync(join(stateDir, 'vault-key'), 'utf8').split('\n')
  return lines.find(line => line !== '' && !line.startsWith('#')) ?? ''
}

async function ended(call: Site['call'], name: string, status = 'Success|Failed'): Promise<void> {
  const pattern = new RegExp(`"syncStatus":"(${status})"`)
  await until(`the sync of ${name}`, async () => pattern.test((await call('GET', `${base}/repositories/${name}`)).text))
}

/** Resolves when the plan's status has been told over MQTT. */
async function told({ published }: Site, name: string, phase: string): Promise<void> {
  const pattern = new RegExp(`"(?:phase|reason)":"(?:${phase})"`)
  await until(`${phase} of plan ${name}`, async () =>
    published.some(([topic, text]) => topic.endsWith(`/${name}/status`) && pattern.test(String(text))),
  )
}
