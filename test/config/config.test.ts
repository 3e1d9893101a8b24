import { generateKeyPairSync } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { defaultId } from '../../src/config/forms.ts'
import { ConfigError, type LoadedConfig, loadConfig } from '../../src/config.ts'
import { hostPlatform } from '../../src/oci/platform.ts'

function load(t: Test, yaml: string, env: NodeJS.ProcessEnv = {}, files: Record<string, string> = {}): LoadedConfig {
  return loadConfig({ file: join(t.testdir({ ...files, 'agent.yaml': yaml }), 'agent.yaml'), env })
}

/** `line key: message` of every problem. */
function problemsOf(t: Test, yaml: string, env: NodeJS.ProcessEnv = {}, files: Record<string, string> = {}): string[] {
  try {
    load(t, yaml, env, files)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(one => `${one.line ?? '-'} ${one.key}: ${one.message}`)
    throw error
  }
  return []
}

t.test('an empty file is the defaults', async t => {
  const { config, warnings } = load(t, '')
  t.strictSame(config, {
    agent: { id: defaultId(), groups: [], platforms: [hostPlatform()], stateDir: '/var/lib/edge-image-agent' },
    registry: {
      kind: 'embedded',
      listen: { host: '0.0.0.0', port: 5000 },
      advertise: `${hostname().toLowerCase()}:5000`,
      storageDir: '/var/lib/edge-image-agent/registry',
      push: false,
      anonymousPull: true,
    },
    upstreams: [],
    transfer: { concurrency: 4, stallTimeoutMs: 30_000, windows: [], diskReserve: 1024 ** 3 },
    api: { listen: { host: '127.0.0.1', port: 8080 }, allowInsecure: false },
    access: { auditRecords: 100_000, auditAgeMs: 365 * 24 * 60 * 60_000 },
    management: {
      providers: [],
      verifyIntervalMs: 600_000,
      syncs: 4,
      disk: { high: { share: 0.85 }, low: { share: 0.75 } },
      scrub: { bytesPerSecond: 20_000_000, everyMs: 604_800_000 },
    },
    documents: {},
    plans: { trustedKeys: [] },
    log: { level: 'info' },
  })
  t.strictSame(warnings, [])
})

t.test('every value is parsed, and the whole is frozen', async t => {
  const yaml = `
agent: {id: sh-01, groups: [shops], platforms: [linux/arm64/v8, linux/arm/v7], stateDir: state}
registry: {external: {url: "https://Harbor.example:8443/", username: me, passwordFile: password, sparseIndexes: platform}}
upstreams:
  - {host: Registry.MECM.example:5000, plainHttp: true, username: robot$mecm, password: geheim, mirrors: [mirror.example/mecm, other.example]}
  - {host: index.docker.io}
mqtt: {url: "mqtts://broker.example:8883", sessionExpiry: 1h, username: e, password: p}
transfer: {stallTimeout: 1m}
api: {listen: "[::1]:0"}
`
  const { config } = load(t, yaml, {}, { password: 'line one\nline two\r\n' })
  t.match(config, {
    agent: {
      id: 'sh-01',
      groups: ['shops'],
      platforms: [
        { os: 'linux', architecture: 'arm64' },
        { os: 'linux', architecture: 'arm', variant: 'v7' },
      ],
      stateDir: join(t.testdirName, 'state'),
    },
    registry: {
      kind: 'external',
      host: 'harbor.example:8443',
      plainHttp: false,
      username: 'me',
      password: 'line one\nline two',
      sparseIndexes: 'platform',
    },
    upstreams: [
      {
        host: 'registry.mecm.example:5000',
        plainHttp: true,
        password: 'geheim',
        mirrors: [
          { host: 'mirror.example', prefix: 'mecm' },
          { host: 'other.example', prefix: '' },
        ],
      },
      { host: 'docker.io', plainHttp: false },
    ],
    mqtt: { url: 'mqtts://broker.example:8883', prefix: 'mecm/v1', sessionExpiryMs: 3_600_000, password: 'p' },
    transfer: { concurrency: 4, stallTimeoutMs: 60_000, windows: [], diskReserve: 1024 ** 3 },
    api: { listen: { host: '::1', port: 0 } },
  })
  t.ok(Object.isFrozen(config.upstreams[0]?.mirrors[0]))
})

t.test('all problems come at once, with line, path, what was expected and the nearest key', async t => {
  const yaml = `agent:
  id: Edge_01
  stateDirr: /x
registry:
  embedded: {listen: 5000, push: true, anonymousPull: false}
upstreams:
  - host: https://registry.example
  - plainHttp: true
mqtt:
  url: http://broker.example
  prefix: /mecm/#
plans: {trustedKeys: []}
transfer:
  concurrency: 0
  stallTimeout: 30 seconds
  maxRat: 20Mbit
log: {level: loud}
`
  t.strictSame(problemsOf(t, yaml), [
    '3 agent.stateDirr: is not a key of the configuration; did you mean "stateDir"?',
    '2 agent.id: expected lower case letters, digits and "-", at most 63, starting with a letter or digit, got "Edge_01"',
    '5 registry.embedded.listen: expected host:port, e.g. 127.0.0.1:8080 or [::]:8080, got 5000',
    '7 upstreams[0].host: expected host or host:port, without a scheme, with a dot, a port or the name localhost, got "https://registry.example"',
    '8 upstreams[1].host: is missing: expected host or host:port, without a scheme, with a dot, a port or the name localhost',
    '10 mqtt.url: expected a URL that starts with mqtt:// or mqtts:// or ws:// or wss://, without a user or password in it',
    '11 mqtt.prefix: expected topic levels without "+", "#" and empty levels, got "/mecm/#"',
    '16 transfer.maxRat: is not a key of the configuration; did you mean "maxRate"?',
    '14 transfer.concurrency: expected a whole number from 1 to 64, got 0',
    '15 transfer.stallTimeout: expected a duration from 1s to 1h, e.g. 30s, 10m, 24h, 7d, got "30 seconds"',
    '17 log.level: expected trace, debug, info, warn, error, fatal or silent, got "loud"',
  ])
})

t.test('keys that plans are to be signed with', async t => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const files = {
    'key.pem': pem,
    'jwk.json': JSON.stringify(publicKey.export({ format: 'jwk' })),
    'no.pem': 'key',
    'secret.pem': secret,
  }
  const { config } = load(t, 'plans: {trustedKeys: [key.pem, jwk.json]}', {}, files)
  t.equal(config.plans.trustedKeys.length, 2)
  t.match(problemsOf(t, 'plans: {trustedKeys: [no.pem, secret.pem]}', {}, files), [
    /plans.trustedKeys\[0\]: .*no\.pem: this is no public key in PEM or JWK form/,
    /plans.trustedKeys\[1\]: .*secret\.pem: this is a private key/,
  ])
})

t.test('rules between keys', async t => {
  t.match(problemsOf(t, 'registry:\n  embedded: {}\n  external: {url: "http://127.0.0.1:5000"}'), [
    '3 registry.external: stands beside registry.embedded: keep one of the two',
  ])
  t.match(problemsOf(t, 'upstreams: [{host: docker.io}, {host: registry-1.docker.io}]'), [
    '1 upstreams[1].host: "registry-1.docker.io" stands in upstreams[0] already',
  ])
  t.match(problemsOf(t, 'mqtt: {url: "mqtts://b", certFile: c}', {}, { c: 'x' }), [
    '1 mqtt: certFile and keyFile belong together: one of them is missing',
  ])
  t.match(problemsOf(t, 'agent: {platforms: []}'), [/^1 agent.platforms: is empty/])
  for (const listen of ['0.0.0.0:8080', '[::]:8080', '192.0.2.1:80', 'edge:80']) {
    t.match(problemsOf(t, `api: {listen: "${listen}"}`), [/^1 api.listen: .*tokens.*api.tls.*api.allowInsecure: true/])
    t.strictSame(problemsOf(t, `api: {listen: "${listen}", allowInsecure: true}`), [])
    t.strictSame(problemsOf(t, `api: {listen: "${listen}", tls: {certFile: c, keyFile: c}}`, {}, { c: 'x' }), [])
  }
  for (const listen of ['127.0.0.1:0', '[::1]:8080', 'localhost:1']) {
    t.strictSame(problemsOf(t, `api: {listen: "${listen}"}`), [])
  }
  t.match(problemsOf(t, 'mqtt: {prefix: a}'), ['1 mqtt.url: is missing: expected a URL'])
  t.match(problemsOf(t, 'registry: {external: {url: "http://127.0.0.1:5000/path"}}'), [
    '1 registry.external.url: expected',
  ])
})

t.test('secrets', async t => {
  t.test('given twice', async t => {
    const yaml = 'mqtt: {url: "mqtt://b", username: u, password: a, passwordFile: f}'
    t.strictSame(problemsOf(t, yaml, {}, { f: 'b' }), [
      '1 mqtt.password: is given twice: here and as passwordFile; keep one',
    ])
  })
  t.test('an unreadable file is named with its key', async t => {
    const yaml = 'upstreams:\n  - {host: r.example, username: u, passwordFile: /nowhere/password, caFile: .}'
    t.strictSame(problemsOf(t, yaml), [
      `2 upstreams[0].caFile: the file ${t.testdirName} can not be read: it is not a file`,
      '2 upstreams[0].passwordFile: the file /nowhere/password can not be read: there is no such file',
    ])
  })
  t.test('an empty file, and no user name', async t => {
    t.strictSame(problemsOf(t, 'mqtt: {url: "mqtt://b", passwordFile: f}', {}, { f: '' }), [
      `1 mqtt.passwordFile: the file ${join(t.testdirName, 'f')} is empty`,
      '1 mqtt.username: is missing: there is a password without a user name',
    ])
  })
  t.test('never stand in a message', async t => {
    const yaml = 'mqtt: {url: "mqtt://me:topsecret@b", username: u, password: 1234567}'
    const [...problems] = problemsOf(t, yaml)
    t.equal(problems.length, 2)
    t.notMatch(problems.join(), /topsecret|1234567/)
  })
})

t.test('the environment goes over the file', async t => {
  const { config } = load(
    t,
    'agent: {id: from-file, groups: [a]}\nmqtt: {url: "mqtt://file", username: u, passwordFile: missing}',
    {
      EDGE_IMAGE_AGENT_AGENT_ID: 'from-env',
      EDGE_IMAGE_AGENT_AGENT_GROUPS: '[b, c]',
      EDGE_IMAGE_AGENT_MQTT_URL: 'mqtt://env',
      EDGE_IMAGE_AGENT_MQTT_PASSWORD: '123',
      EDGE_IMAGE_AGENT_TRANSFER_STALL_TIMEOUT: '5s',
      EDGE_IMAGE_AGENT_TRANSFER_CONCURRENCY: '2',
      EDGE_IMAGE_AGENT_UPSTREAMS: '[{host: "localhost:5001", plainHttp: true}]',
      EDGE_IMAGE_AGENT_LOG_LEVEL: '',
    },
  )
  t.match(config, {
    agent: { id: 'from-env', groups: ['b', 'c'] },
    mqtt: { url: 'mqtt://env', username: 'u', password: '123' },
    transfer: { stallTimeoutMs: 5000, concurrency: 2 },
    upstreams: [{ host: 'localhost:5001', plainHttp: true }],
    log: { level: 'info' },
  })
})

t.test('a problem from the environment names the variable', async t => {
  const problems = problemsOf(t, '', {
    EDGE_IMAGE_AGENT_UPSTREAMS: '[{hosst: r.example}]',
    EDGE_IMAGE_AGENT_TRANSFER_CONCURRENCY: 'many',
  })
  t.match(problems, [
    '- upstreams[0].hosst: is not a key of the configuration; did you mean "host"? (from EDGE_IMAGE_AGENT_UPSTREAMS)',
    /^- upstreams\[0\]\.host: is missing: .* \(from EDGE_IMAGE_AGENT_UPSTREAMS\)/,
    '- transfer.concurrency: expected a whole number from 1 to 64, got "many" (from EDGE_IMAGE_AGENT_TRANSFER_CONCURRENCY)',
  ])
  t.match(problemsOf(t, '', { EDGE_IMAGE_AGENT_UPSTREAMS: '[{' }), [
    '- upstreams: the value of EDGE_IMAGE_AGENT_UPSTREAMS is not valid YAML',
  ])
})

t.test('what is allowed but should be known', async t => {
  const { warnings } = load(
    t,
    'api: {listen: "0.0.0.0:8080", allowInsecure: true}\nregistry: {embedded: {push: true}}\nupstreams: [{host: r.example, insecureSkipVerify: true}]',
    {
      EDGE_IMAGE_AGENT_MQT_URL: 'x',
      EDGE_IMAGE_AGENT_PORT: 'tcp://10.0.0.1:8080',
      EDGE_IMAGE_AGENT_API: 'http://127.0.0.1:1',
    },
  )
  t.match(warnings, [
    'EDGE_IMAGE_AGENT_MQT_URL in the environment names no key of the configuration and is ignored; did you mean EDGE_IMAGE_AGENT_MQTT_URL?',
    /^EDGE_IMAGE_AGENT_PORT in the environment/,
    /^api.listen is 0.0.0.0:8080 without TLS/,
    /^registry.embedded listens on 0.0.0.0:5000 without TLS and takes tokens/,
    /^any certificate is taken for r.example/,
  ])
  t.equal(warnings.length, 5)
})

t.test('the marks of the disk: a share or a size, the low one below the high one', async t => {
  const { config } = load(t, 'management: {disk: {high: 200GB, low: 150GB}, scrub: {rate: 80Mbit, every: 30d}}')
  t.match(config.management, {
    disk: { high: { bytes: 200e9 }, low: { bytes: 150e9 } },
    scrub: { bytesPerSecond: 10e6, everyMs: 30 * 86_400_000 },
  })
  t.match(problemsOf(t, 'management: {disk: {high: 80%, low: 80%}}'), [/management.disk.low/])
  t.match(problemsOf(t, 'management: {disk: {high: 80%, low: 10GB}}'), [/in the same unit/])
  t.match(problemsOf(t, 'management: {disk: {high: 100%}}'), [/management.disk.high/])
})

t.test('files that are no configuration', async t => {
  t.match(problemsOf(t, 'agent: {id: [}'), [/^1 : not valid YAML: /])
  t.match(problemsOf(t, 'agent: {}\nagent: {}'), [/^2 : not valid YAML: Map keys must be unique/])
  t.match(problemsOf(t, 'agent: *nobody'), [/^- : not valid YAML: Unresolved alias/])
  t.match(problemsOf(t, '- a'), ['- : expected keys with values at the top level'])
  t.match(problemsOf(t, 'agent: edge-01'), ['1 agent: expected keys with values, got "edge-01"'])
  t.throws(() => loadConfig({ file: '/nowhere/agent.yaml', env: {} }), /can not be read.*ENOENT/)
  t.match(problemsOf(t, `agent: {id: ${'x'.repeat(1024 * 1024)}}`), [/is larger than 1048576 bytes/])
})

t.test('a file without permission', { skip: process.getuid?.() === 0 ? 'root reads everything' : false }, async t => {
  const file = join(t.testdir({ 'a.yaml': '' }), 'a.yaml')
  chmodSync(file, 0)
  t.throws(() => loadConfig({ file, env: {} }), /EACCES/)
})

t.test('a host name made valid', async t => {
  t.equal(defaultId('Store_7.example.com'), 'store-7-example-com')
  t.equal(defaultId(`-${'a'.repeat(70)}`), 'a'.repeat(63))
  t.equal(defaultId('日本'), 'edge')
})

t.test('the port of the local registry is told only when it is known', async t => {
  const registry = (yaml: string) => load(t, yaml).config.registry
  t.match(registry('registry: {embedded: {listen: "127.0.0.1:0"}}'), { kind: 'embedded', advertise: undefined })
  t.match(registry('registry: {embedded: {advertise: "store.example:5000"}}'), { advertise: 'store.example:5000' })
  t.match(registry('registry: {embedded: {listen: "127.0.0.1:5001"}}'), { advertise: '127.0.0.1:5001' })
})
