/** What is installed: the systemd unit, the Dockerfile and the Kubernetes files keep what they promise. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Static, type TSchema, Type } from 'typebox'
import { Parse } from 'typebox/value'
import { parse } from 'yaml'
import { loadConfig } from '../src/config.ts'

const root = join(import.meta.dirname, '..')
const readText = (path: string) => readFileSync(join(root, path), 'utf8')

/** The document of a file, held against the part of its form that is of interest. */
function readYaml<T extends TSchema>(path: string, shape: T): Static<T> {
  return Parse(shape, parse(readText(path)))
}

const Probe = Type.Object({
  httpGet: Type.Object({ host: Type.String(), port: Type.Integer(), path: Type.String() }),
})
const Mount = Type.Object({ name: Type.String(), mountPath: Type.String() })
const Container = Type.Object({
  image: Type.String(),
  env: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
  securityContext: Type.Unknown(),
  resources: Type.Object({ limits: Type.Object({ memory: Type.String() }) }),
  volumeMounts: Type.Array(Mount),
  startupProbe: Type.Optional(Probe),
  livenessProbe: Type.Optional(Probe),
  readinessProbe: Type.Optional(Probe),
})
const DaemonSet = Type.Object({
  spec: Type.Object({
    selector: Type.Object({ matchLabels: Type.Unknown() }),
    template: Type.Object({
      metadata: Type.Object({ labels: Type.Unknown() }),
      spec: Type.Object({
        serviceAccountName: Type.String(),
        hostNetwork: Type.Boolean(),
        terminationGracePeriodSeconds: Type.Integer(),
        containers: Type.Tuple([Container]),
        volumes: Type.Array(Type.Object({ name: Type.String() })),
      }),
    }),
  }),
})
const Named = Type.Object({ kind: Type.String(), metadata: Type.Object({ name: Type.String() }) })

t.test('Kubernetes', async t => {
  const daemonSet = readYaml('kubernetes/daemon-set.yaml', DaemonSet)
  const pod = daemonSet.spec.template.spec
  const [agent] = pod.containers
  const configMap = readYaml(
    'kubernetes/config-map.yaml',
    Type.Object({ data: Type.Object({ 'agent.config.yaml': Type.String() }) }),
  )
  const file = join(t.testdir({ 'agent.config.yaml': configMap.data['agent.config.yaml'] }), 'agent.config.yaml')
  const { config, warnings } = loadConfig({ file, env: { EDGE_IMAGE_AGENT_AGENT_ID: 'node-01' } })

  t.test('the configuration in the ConfigMap is valid, and stays on the node', async t => {
    t.strictSame(warnings, [])
    t.match(config, {
      agent: { id: 'node-01' },
      registry: { kind: 'embedded', listen: { host: '127.0.0.1', port: 5000 } },
    })
  })
  t.test('what is commented out in it is valid, too', async t => {
    const passwords = { 'mqtt.password': 'a', 'mecm.password': 'b' }
    const text = configMap.data['agent.config.yaml']
      .replace(/^( *)#(?=[\w-]| {2})/gm, '$1')
      .replaceAll('/run/secrets/edge-image-agent', '.')
    const dir = t.testdir({ ...passwords, 'agent.config.yaml': text })
    t.match(loadConfig({ file: join(dir, 'agent.config.yaml'), env: {} }).config, {
      mqtt: { username: 'edge', password: 'a' },
      upstreams: [{ host: 'registry.mecm.example', password: 'b' }],
    })
  })
  t.test('probes ask where the API listens', async t => {
    const { host, port } = config.api.listen
    t.match(agent.startupProbe?.httpGet, { host, port, path: '/healthz' })
    t.match(agent.livenessProbe?.httpGet, { host, port, path: '/healthz' })
    t.match(agent.readinessProbe?.httpGet, { host, port, path: '/readyz' })
  })
  t.test('no more rights than needed', async t => {
    t.match(pod, {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      hostNetwork: true,
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
    })
    t.match(agent.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    t.equal(agent.resources.limits.memory, '256Mi')
  })
  t.test('the parts fit together', async t => {
    t.strictSame(daemonSet.spec.selector.matchLabels, daemonSet.spec.template.metadata.labels)
    t.strictSame(
      agent.env?.map(one => one.name),
      ['EDGE_IMAGE_AGENT_AGENT_ID'],
    )
    t.strictSame(agent.volumeMounts.map(one => one.name).sort(), pod.volumes.map(one => one.name).sort())
    t.ok(agent.volumeMounts.some(one => one.mountPath === config.agent.stateDir))
    t.ok(pod.terminationGracePeriodSeconds > 20)
    const version = Parse(Type.Object({ version: Type.String() }), JSON.parse(readText('package.json'))).version
    t.equal(agent.image, `edge-image-agent:${version}`)
    const { resources } = readYaml(
      'kubernetes/kustomization.yaml',
      Type.Object({
        resources: Type.Array(Type.String()),
        images: Type.Tuple([Type.Object({ newTag: Type.Literal(version) })]),
      }),
    )
    for (const resource of resources) t.ok(readYaml(`kubernetes/${resource}`, Named), resource)
    t.equal(readYaml('kubernetes/secret.example.yaml', Named).kind, 'Secret')
    t.equal(readYaml('kubernetes/service-account.yaml', Named).metadata.name, pod.serviceAccountName)
  })
})

t.test('the systemd unit', async t => {
  const unit = readText('systemd/edge-image-agent.service')
  const settings = new Set(unit.split('\n'))
  for (const setting of [
    'User=edge-image-agent',
    'NoNewPrivileges=yes',
    'ProtectSystem=strict',
    'PrivateTmp=yes',
    'CapabilityBoundingSet=',
    'StateDirectory=edge-image-agent',
    'ConfigurationDirectory=edge-image-agent',
    'Restart=on-failure',
    'RestartPreventExitStatus=2',
    'TimeoutStopSec=30s',
  ]) {
    t.ok(settings.has(setting), setting)
  }
  t.notOk(settings.has('MemoryDenyWriteExecute=yes'), "node's compiler needs memory that it writes and runs")
  t.match(readText('systemd/edge-image-agent.sysusers'), /^u edge-image-agent - /m)
})

const analyze = spawnSync('systemd-analyze', ['--version']).status === 0
t.test('systemd agrees', { skip: analyze ? false : 'systemd-analyze is missing: apt install systemd' }, async t => {
  const unit = join(root, 'systemd/edge-image-agent.service')
  const verify = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
  // It also looks for node at its place, which is another matter on a machine that only builds.
  const complaints = verify.stderr.split('\n').filter(line => line !== '' && !line.includes('/usr/bin/node'))
  t.strictSame(complaints, [])
  const security = execFileSync('systemd-analyze', ['security', '--offline=true', unit], { encoding: 'utf8' })
  const [, exposure] = /exposure level for \S+: ([\d.]+)/.exec(security) ?? []
  t.ok(Number(exposure) <= 2, `exposure ${exposure} of 10`)
})

t.test('the Dockerfile', async t => {
  const text = readText('Dockerfile')
  const stages = text.split(/^FROM /m).slice(1)
  const last = stages.at(-1) ?? ''
  t.equal(stages.length, 3)
  for (const stage of stages) t.match(stage, /^node:24-/)
  t.match(text, /ARG UID=10001\n/, 'the number that the DaemonSet names')
  t.match(last, /^USER \$\{UID\}:\$\{UID\}$/m)
  t.match(last, /^VOLUME \/var\/lib\/edge-image-agent$/m)
  t.match(last, /^HEALTHCHECK /m)
  t.match(last, /^ENTRYPOINT \["node", "dist\/main.js"\]$/m)
  const ignored = readText('.dockerignore')
  const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(match => match[1]?.split(' ') ?? [])
  for (const path of copied) {
    t.ok(existsSync(join(root, path)), path)
    t.match(ignored, `!${path.replace(/^\.\//, '')}\n`, `${path} is let through`)
  }
})

t.test('the README names files that are there', async t => {
  const readme = readText('README.md')
  const named = [...readme.matchAll(/\b(?:systemd|kubernetes|docs|monitoring)\/[\w./-]*\w/g)].map(([path]) => path)
  t.ok(named.length > 5)
  t.same(
    named.filter(path => !existsSync(join(root, path)) && !path.startsWith('systemd/system')),
    [],
  )
})

t.test('every package that is installed is known by its content, wherever it comes from', async t => {
  const { packages }: { packages: Record<string, { integrity?: string; resolved?: string }> } = JSON.parse(
    readText('package-lock.json'),
  )
  const locked = Object.entries(packages).filter(([path]) => path !== '')
  t.ok(locked.length > 300)
  t.same(
    locked.filter(([, { integrity, resolved }]) => !integrity?.startsWith('sha512-') || resolved !== undefined),
    [],
  )
})
