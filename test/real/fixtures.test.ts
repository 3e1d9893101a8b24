/** The real servers and readers themselves, before they judge the agent: they start, ask for logins, and take every sample. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mqtt from 'mqtt'
import t from 'tap'
import { Agent, request } from 'undici'
import { everyKind, image } from '../fixtures/images.ts'
import { lacking } from '../fixtures/programs.ts'
import { pushSample } from '../fixtures/push-sample.ts'
import { makeCertificates, startDockerRegistry, startMosquitto } from '../fixtures/real-servers.ts'
import { startTokenServer } from '../fixtures/token-server.ts'

const run = promisify(execFile)
const login = { username: 'edge-01', password: 'secret' }
const basic = `Basic ${Buffer.from('edge-01:secret').toString('base64')}`

t.test(
  'docker-registry takes the samples, and skopeo unpacks them',
  { skip: lacking('docker-registry', 'skopeo') },
  async t => {
    const dir = t.testdir()
    const registry = await startDockerRegistry(dir)
    t.teardown(() => registry.stop())
    const kinds = everyKind()
    const unpackable = ['oci image', 'docker image', 'empty layer', 'layer twice', 'plain layers', 'oci index']
    for (const [position, kind] of unpackable.entries()) {
      const sample = kinds[kind]
      if (!sample) throw new Error(kind)
      await pushSample(registry.url, `kind/${position}`, '1', sample)
      const source = `docker://${registry.host}/kind/${position}:1`
      await run('skopeo', [
        ...['--insecure-policy', '--override-arch', 'amd64', '--override-os', 'linux'],
        ...['copy', '--src-tls-verify=false', source, `docker-archive:${join(dir, `${position}.tar`)}:a/b:1`],
      ])
      t.pass(`${kind}: skopeo checked its layers against its diff ids`)
    }
  },
)

t.test(
  'docker-registry with TLS and a password',
  { skip: lacking('docker-registry', 'htpasswd', 'openssl') },
  async t => {
    const dir = t.testdir({ registry: {} })
    const tls = await makeCertificates(join(dir, 'certificates'))
    const registry = await startDockerRegistry(join(dir, 'registry'), { login, tls })
    t.teardown(() => registry.stop())
    const dispatcher = new Agent({ connect: { ca: await readFile(tls.caFile) } })
    t.teardown(() => dispatcher.close())
    const status = async (headers: Record<string, string>) => {
      const { statusCode, body } = await request(`${registry.url}/v2/`, { dispatcher, headers })
      await body.dump()
      return statusCode
    }
    t.equal(await status({}), 401)
    t.equal(await status({ authorization: basic }), 200)
  },
)

t.test('docker-registry with tokens', { skip: lacking('docker-registry', 'openssl') }, async t => {
  const dir = t.testdir({ registry: {} })
  const tokens = await startTokenServer(await makeCertificates(join(dir, 'certificates')), { login })
  t.teardown(() => tokens.stop())
  const registry = await startDockerRegistry(join(dir, 'registry'), { token: tokens.registry })
  t.teardown(() => registry.stop())
  const ask = `${tokens.registry.realm}?service=${tokens.registry.service}&scope=repository:a/b:pull,push`
  const refused = await request(ask)
  t.equal(refused.statusCode, 401)
  await refused.body.dump()
  const answer = await request(ask, { headers: { authorization: basic } })
  const text = await answer.body.text()
  const token = /"token":"([^"]+)"/.exec(text)?.[1] ?? ''
  await pushSample(registry.url, 'a/b', '1', image(), `Bearer ${token}`)
  t.equal(tokens.issued.length, 1)
  await t.rejects(pushSample(registry.url, 'c/d', '1', image(), `Bearer ${token}`), /401/)
})

t.test('mosquitto with TLS, client certificates and passwords', { skip: lacking('mosquitto', 'openssl') }, async t => {
  const dir = t.testdir({ plain: {}, secure: {} })
  const plain = await startMosquitto(join(dir, 'plain'), { login, persistence: true })
  t.teardown(() => plain.stop())
  await t.rejects(mqtt.connectAsync(plain.url, { protocolVersion: 5, reconnectPeriod: 0 }))
  const client = await mqtt.connectAsync(plain.url, { protocolVersion: 5, ...login })
  await client.endAsync()

  const tls = await makeCertificates(join(dir, 'certificates'))
  const secure = await startMosquitto(join(dir, 'secure'), { tls, clientCertificates: true })
  t.teardown(() => secure.stop())
  const certificates = {
    ca: await readFile(tls.caFile),
    cert: await readFile(tls.clientCertFile),
    key: await readFile(tls.clientKeyFile),
  }
  const trusted = await mqtt.connectAsync(secure.url, { protocolVersion: 5, ...certificates })
  await trusted.endAsync()
  t.pass('connected with a client certificate')
})
