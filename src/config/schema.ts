/**
 * Every key of the configuration: its form, its default and what it is for. The check of a file, the types, `agent.config.yaml`
 * and docs/configuration.md are all made from this. Used by the other files of this folder and by scripts/docs.
 */
import { hostname } from 'node:os'
import { type Static, type TSchema, Type } from 'typebox'
import { formatPlatform, hostPlatform, parsePlatform } from '../oci/platform.ts'
import { isRegistryHost, isRepository, parseRepositoryReference } from '../oci/reference.ts'
import { parseDuration } from './quantities.ts'

/** What a key's schema says beyond its type. */
export interface KeyFacts {
  readonly description?: string
  /** What a right value is, for the message about a wrong one. */
  readonly expected?: string
  /** The default in words, where it is not a fixed value. */
  readonly defaultText?: string
  /** Never printed. */
  readonly secret?: boolean
  /** Not printed when it is wrong: it may then hold a secret that belongs elsewhere. */
  readonly secretWhenWrong?: boolean
  /** A path in the file system; relative to the folder of the configuration file. A file must be readable. */
  readonly path?: 'file' | 'folder'
  /** A value to show in the sample file for a key without default. */
  readonly example?: unknown
}

/** `host:port` taken apart. */
export interface ListenAddress {
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

/** Another host for an upstream's content. `prefix` goes before the repository, with a slash, where it is not empty. */
export interface UpstreamMirror {
  readonly host: string
  readonly prefix: string
}

/** `127.0.0.1:8080`, `[::1]:8080`, `localhost:0`; undefined for any other text. */
export function parseListen(text: string): ListenAddress | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const host = parts?.[1] ?? parts?.[2]
  const port = Number(parts?.[3])
  return host === undefined || port > 65535 ? undefined : { host, port }
}

/** The text that {@link parseListen} reads. */
export function formatListen(address: ListenAddress): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** `mirror.example` or `mirror.example/prefix`; undefined for any other text. */
export function parseMirror(text: string): UpstreamMirror | undefined {
  const slash = text.indexOf('/')
  const host = (slash < 0 ? text : text.slice(0, slash)).toLowerCase()
  const prefix = slash < 0 ? '' : text.slice(slash + 1)
  if (!isRegistryHost(host) || (slash >= 0 && !isRepository(prefix))) return undefined
  return { host, prefix }
}

/** The host as references name it (`index.docker.io` is `docker.io`); undefined for a text that no reference can name as a host. */
export function parseUpstreamHost(text: string): string | undefined {
  if (!isRegistryHost(text)) return undefined
  const { registry, repository } = parseRepositoryReference(`${text}/a/b`)
  return repository === 'a/b' ? registry : undefined
}

/** The host name as an agent's id: lower case, at most 63 of `[a-z0-9-]`, starting with a letter or digit. */
export function defaultId(name = hostname()): string {
  const id = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63)
    .replace(/-+$/, '')
  return id === '' ? 'edge' : id
}

export const maxListItems = 1000
const idPattern = /^[a-z0-9][a-z0-9-]{0,62}$/
const idForm = 'lower case letters, digits and "-", at most 63, starting with a letter or digit'
const hostForm = 'host or host:port, without a scheme'

function text(expected: string, right: (value: string) => boolean, facts: KeyFacts & { default?: string }) {
  return Type.Refine(Type.String({ expected, ...facts }), right)
}
function listen(value: string, description: string) {
  const expected = 'host:port, e.g. 127.0.0.1:8080 or [::]:8080'
  return text(expected, one => parseListen(one) !== undefined, { default: value, description })
}
function duration(minimum: string, maximum: string, value: string, description: string) {
  const [least = 0, most = 0] = [parseDuration(minimum), parseDuration(maximum)]
  const right = (one: string) => {
    const ms = parseDuration(one)
    return ms !== undefined && ms >= least && ms <= most
  }
  return text(`a duration from ${minimum} to ${maximum}, e.g. 30s, 10m, 24h, 7d`, right, {
    default: value,
    description,
  })
}
function file(example: string, description: string) {
  const expected = 'the path of a file'
  return Type.Optional(text(expected, one => one !== '', { path: 'file', example, description }))
}
function folder(facts: KeyFacts & { default?: string }) {
  return text('the path of a folder', one => one !== '', { path: 'folder', ...facts })
}
function word(example: string, description: string) {
  return Type.Optional(text('text', one => one !== '', { example, description }))
}
function secret(description: string) {
  const expected = 'text (in quotes where it looks like a number)'
  return Type.Optional(text(expected, one => one !== '', { secret: true, description }))
}
function flag(value: boolean, description: string) {
  return Type.Boolean({ expected: 'true or false', default: value, description })
}
/** A URL of one of the schemes, without credentials, query or fragment in it. */
function url(schemes: readonly string[], example: string, description: string) {
  const right = (one: string) => {
    const parsed = URL.canParse(one) ? new URL(one) : undefined
    if (parsed === undefined || !schemes.includes(parsed.protocol.slice(0, -1)) || parsed.hostname === '') return false
    return parsed.username === '' && parsed.password === '' && parsed.search === '' && parsed.hash === ''
  }
  const starts = schemes.map(one => `${one}://`).join(' or ')
  // A wrong one is not shown in the message: it may hold a password.
  return text(`a URL that starts with ${starts}, without a user or password in it`, right, {
    secretWhenWrong: true,
    example,
    description,
  })
}
function list<T extends TSchema>(items: T, facts: KeyFacts & { default?: unknown[] }) {
  return Type.Array(items, { expected: `a list of at most ${maxListItems}`, maxItems: maxListItems, ...facts })
}
function platformText() {
  return text('os/architecture[/variant], e.g. linux/arm64', isPlatform, {})
}
function isPlatform(one: string): boolean {
  try {
    parsePlatform(one)
    return true
  } catch {
    return false
  }
}

const credentials = {
  username: word('robot$mecm', 'User name for Basic authentication, and for asking the registry for tokens.'),
  password: secret('Its password. Better in a file of its own: `passwordFile`.'),
  passwordFile: file('/etc/edge-image-agent/mecm.password', 'A file that holds the password.'),
}
const caFile = file('/etc/edge-image-agent/mecm-ca.pem', 'PEM certificates to trust beside the system’s own.')
const insecureSkipVerify = flag(
  false,
  'Take any certificate. Whoever is on the line can then answer in the registry’s place.',
)

const AgentSection = Type.Object(
  {
    id: Type.Optional(
      text(idForm, one => idPattern.test(one), {
        defaultText: 'the host name',
        example: 'edge-01',
        description: 'Who this edge is: the level of its MQTT topics.',
      }),
    ),
    groups: list(
      text(idForm, one => idPattern.test(one), {}),
      { default: [], example: ['shops'], description: 'Plans for these groups apply here, too.' },
    ),
    platforms: Type.Optional(
      list(platformText(), {
        defaultText: "this machine's",
        example: ['linux/amd64'],
        description: "What the site's nodes run. Plans without platforms of their own bring these.",
      }),
    ),
    stateDir: folder({
      default: '/var/lib/edge-image-agent',
      description: 'Where the agent keeps its state. One agent per folder.',
    }),
  },
  { description: 'Who this edge is.' },
)

const TlsSection = Type.Object(
  {
    certFile: text('the path of a file', one => one !== '', {
      path: 'file',
      example: '/etc/edge-image-agent/registry.crt',
      description: 'PEM certificate chain.',
    }),
    keyFile: text('the path of a file', one => one !== '', {
      path: 'file',
      example: '/etc/edge-image-agent/registry.key',
      description: 'Its private key.',
    }),
  },
  { description: 'Serves https in place of http.' },
)

const EmbeddedSection = Type.Object(
  {
    listen: listen('0.0.0.0:5000', 'Where nodes pull from.'),
    advertise: Type.Optional(
      text(hostForm, isRegistryHost, {
        defaultText: 'the host name and the port of `listen`',
        example: 'edge-01:5000',
        description: 'The address that MECM is told.',
      }),
    ),
    tls: Type.Optional(TlsSection),
    push: flag(false, 'The write side: docker push, skopeo copy, deletes. Not supported yet: only false.'),
    anonymousPull: flag(true, 'false: reading needs a token, too. Not supported yet: only true.'),
    storageDir: Type.Optional(
      folder({
        defaultText: '<stateDir>/registry',
        example: '/var/lib/edge-image-agent/registry',
        description: 'Where the content is kept, as an OCI image layout.',
      }),
    ),
  },
  { description: "The agent's own registry: the default." },
)

const ExternalSection = Type.Object(
  {
    url: url(['http', 'https'], 'http://127.0.0.1:5000', 'Its address.'),
    ...credentials,
    caFile,
    insecureSkipVerify,
    sparseIndexes: Type.Enum(['complete', 'platform', 'fail'], {
      expected: 'complete, platform or fail',
      default: 'complete',
      description:
        'What to do when the registry refuses an index because other platforms of it are absent. complete: fetch the other platforms, too. platform: the tag points at the manifest of the one platform that is wanted, and the status says so. fail: the image fails.',
    }),
  },
  { description: 'A registry that the site has already, in place of the embedded one.' },
)

const UpstreamItem = Type.Object({
  host: text(`${hostForm}, with a dot, a port or the name localhost`, one => parseUpstreamHost(one) !== undefined, {
    example: 'registry.mecm.example:5000',
    description: 'As references name it; `docker.io` for Docker Hub.',
  }),
  plainHttp: flag(false, 'Speak http, unencrypted.'),
  caFile,
  insecureSkipVerify,
  ...credentials,
  mirrors: list(
    text('host[:port] or host[:port]/path, without a scheme', one => parseMirror(one) !== undefined, {}),
    {
      default: [],
      example: ['mirror.example/mecm'],
      description:
        'Other places that hold the same content: `mirror.example/mecm` is asked for `mecm/<repository>`. How to reach a mirror stands under its own host.',
    },
  ),
})

const MqttSection = Type.Object(
  {
    url: url(
      ['mqtt', 'mqtts', 'ws', 'wss'],
      'mqtts://broker.mecm.example:8883',
      'The broker. MQTT 5; plans come from here and statuses go there.',
    ),
    prefix: text(
      'topic levels without "+", "#" and empty levels',
      one => /^[^/+#$\s][^/+#\s]*(?:\/[^/+#\s]+)*$/.test(one) && one.length <= 200,
      { default: 'mecm/v1', description: 'What every topic starts with.' },
    ),
    username: word('edge-01', 'User name.'),
    password: secret('Its password. Better in a file of its own: `passwordFile`.'),
    passwordFile: file('/etc/edge-image-agent/mqtt.password', 'A file that holds the password.'),
    caFile: file('/etc/edge-image-agent/mecm-ca.pem', 'PEM certificates to trust in place of the system’s own.'),
    certFile: file('/etc/edge-image-agent/client.crt', 'PEM client certificate; with `keyFile`.'),
    keyFile: file('/etc/edge-image-agent/client.key', 'Its private key.'),
    sessionExpiry: duration('0s', '365d', '7d', 'How long the broker keeps messages for an edge that is away.'),
  },
  { description: 'The link to MECM. Leave it out to run without a broker.' },
)

export const ConfigSchema = Type.Object({
  agent: AgentSection,
  registry: Type.Object(
    { embedded: EmbeddedSection, external: Type.Optional(ExternalSection) },
    { description: 'The local registry: one of the two.' },
  ),
  upstreams: list(UpstreamItem, {
    default: [],
    description: 'How to reach registries, by host. A host that is not listed is reached by https, anonymously.',
  }),
  dockerConfig: file(
    '/root/.docker/config.json',
    'A docker config.json whose `auths` are used for hosts without credentials here.',
  ),
  mqtt: Type.Optional(MqttSection),
  plans: Type.Object(
    {
      trustedKeys: list(
        text('the path of a file', one => one !== '', { path: 'file' }),
        {
          default: [],
          description: 'Public keys that sign plans. Not supported yet: only [].',
        },
      ),
    },
    { description: 'What is asked of plans.' },
  ),
  transfer: Type.Object(
    {
      concurrency: Type.Integer({
        minimum: 1,
        maximum: 64,
        expected: 'a whole number from 1 to 64',
        default: 4,
        description: 'Blobs at once, over all plans.',
      }),
      stallTimeout: duration('1s', '1h', '30s', 'A source that sends nothing for so long is left.'),
    },
    { description: 'How content is fetched.' },
  ),
  api: Type.Object(
    { listen: listen('127.0.0.1:8080', 'Health, metrics, REST. Has no access control yet: keep it on loopback.') },
    { description: "The agent's own HTTP server." },
  ),
  log: Type.Object(
    {
      level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
        expected: 'trace, debug, info, warn, error, fatal or silent',
        default: 'info',
        description: 'The least that is logged.',
      }),
    },
    { description: 'JSON lines on standard output.' },
  ),
})

/** A configuration as a file writes it, checked and with the fixed defaults filled in. */
export type ConfigDocument = Static<typeof ConfigSchema>

/** What the schema of a key says beyond its type. */
export function factsOf(schema: TSchema): KeyFacts & { readonly default?: unknown } {
  return schema
}

/** {@link hostPlatform} as a list for `agent.platforms`. */
export function defaultPlatforms(): string[] {
  return [formatPlatform(hostPlatform())]
}
