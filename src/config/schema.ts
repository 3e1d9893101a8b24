/**
 * Every key of the configuration: its form, its default and what it is for. The check of a file, the types, `agent.config.yaml`
 * and docs/configuration.md are all made from this. Used by the other files of this folder and by scripts/docs.
 */
import { type Static, Type } from 'typebox'
import { isRegistryHost } from '../oci/reference.ts'
import {
  defaultStateDir,
  diskMark,
  duration,
  file,
  flag,
  folder,
  hostForm,
  idForm,
  idPattern,
  list,
  listen,
  parseMirror,
  parseShare,
  parseUpstreamHost,
  platformText,
  rate,
  secret,
  text,
  url,
  word,
} from './forms.ts'
import { TransferSection } from './transfer.ts'

const credentials = {
  username: word('robot$mecm', 'User name for Basic authentication, and for asking the registry for tokens.'),
  password: secret('Its password. Better in a file of its own: `passwordFile`.'),
  passwordFile: file('/etc/edge-image-agent/mecm.password', 'A file that holds the password.'),
}
const caFile = file('/etc/edge-image-agent/mecm-ca.pem', "PEM certificates to trust beside the system's own.")
const insecureSkipVerify = flag(
  false,
  "Take any certificate. Whoever is on the line can then answer in the registry's place.",
)

const AgentSection = Type.Object(
  {
    id: Type.Optional(
      text(idForm, one => idPattern.test(one), {
        defaultText: 'the host name',
        example: 'edge-01',
        description: 'Its name: a level of its MQTT topics.',
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
      default: defaultStateDir,
      description: 'Where the agent keeps its state. One agent per folder.',
    }),
  },
  { description: 'Who this edge is.' },
)

function tlsSection(name: string) {
  const path = (end: string, description: string) =>
    text('the path of a file', one => one !== '', {
      path: 'file',
      example: `/etc/edge-image-agent/${name}.${end}`,
      description,
    })
  return Type.Object(
    { certFile: path('crt', 'PEM certificate chain.'), keyFile: path('key', 'Its private key.') },
    { description: 'Serves https in place of http. New files are taken up without a restart.' },
  )
}

const EmbeddedSection = Type.Object(
  {
    listen: listen('0.0.0.0:5000', 'Where nodes pull from.'),
    advertise: Type.Optional(
      text(hostForm, isRegistryHost, {
        defaultText: 'the address of `listen`, with the host name where that is every address',
        example: 'edge-01:5000',
        description: 'The address that MECM is told.',
      }),
    ),
    tls: Type.Optional(tlsSection('registry')),
    push: flag(false, 'The write side: docker push, skopeo copy, deletes, with tokens as passwords.'),
    anonymousPull: flag(true, 'false: reading needs a token, too.'),
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
    url: url(['http', 'https'], 'no path', 'http://127.0.0.1:5000', 'Its address.'),
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
      'any path',
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
    caFile: file('/etc/edge-image-agent/mecm-ca.pem', "PEM certificates to trust in place of the system's own."),
    certFile: file('/etc/edge-image-agent/client.crt', 'PEM client certificate; with `keyFile`.'),
    keyFile: file('/etc/edge-image-agent/client.key', 'Its private key.'),
    progressShare: text('a share of the link from 0.01% to 100%, e.g. 1%', one => parseShare(one) !== undefined, {
      default: '1%',
      description: 'What progress messages may take of the measured rate of the link, at most. Statuses always go.',
    }),
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
    '/etc/edge-image-agent/docker.json',
    'A docker config.json whose `auths` are used for hosts without credentials here.',
  ),
  mqtt: Type.Optional(MqttSection),
  plans: Type.Object(
    {
      trustedKeys: list(
        text('the path of a file', one => one !== '', { path: 'file' }),
        {
          default: [],
          example: ['/etc/edge-image-agent/mecm-plans.pem'],
          description:
            'Public keys that sign plans: PEM (a key or a certificate), JWK or JWK set; Ed25519, P-256 or RSA. With any, only plans that one of them has signed are taken.',
        },
      ),
    },
    { description: 'What is asked of plans.' },
  ),
  transfer: TransferSection,
  api: Type.Object(
    {
      listen: listen('127.0.0.1:8080', 'Health, metrics, REST. Beyond loopback it needs `tls`, or `allowInsecure`.'),
      tls: Type.Optional(tlsSection('api')),
      allowInsecure: flag(false, 'Listen beyond loopback without TLS. Whoever is on the line can then read tokens.'),
    },
    { description: "The agent's own HTTP server." },
  ),
  management: Type.Object(
    {
      providers: list(
        text('the path of a file', one => one !== '', { path: 'file' }),
        {
          default: [],
          example: ['/etc/edge-image-agent/providers/quay.mjs'],
          description: 'Modules with providers of your own: each exports `provider`. They run inside the agent.',
        },
      ),
      verifyInterval: duration('1m', '7d', '10m', 'How often each image source is asked whether it lets us in.'),
      syncs: Type.Integer({
        minimum: 1,
        maximum: 64,
        expected: 'a whole number from 1 to 64',
        default: 4,
        description: 'Repositories that are synced at once.',
      }),
      disk: Type.Object(
        {
          high: diskMark(
            '85%',
            'Above this, images go by themselves, the longest unused first; never what a plan or a Repository holds.',
          ),
          low: diskMark('75%', 'Until this is reached.'),
        },
        {
          description:
            "Marks of the embedded registry's disk: a share of the disk in use, whatever uses it, or a size of the registry's own content.",
        },
      ),
      scrub: Type.Object(
        {
          rate: rate('20MB', 'How fast, at most.'),
          every: duration('1h', '3650d', '7d', 'How often everything is read once.'),
        },
        {
          description:
            'What the embedded registry stores is read again and compared with its digests; what is damaged is fetched again.',
        },
      ),
    },
    { description: 'Image sources and what is kept in sync from them.' },
  ),
  documents: Type.Object(
    {
      dir: Type.Optional(
        text('the path of a folder', one => one !== '', {
          path: 'folder',
          example: '/etc/edge-image-agent/documents',
          description:
            'A folder of YAML and JSON documents (sources, Repositories, cleanup policies, plans): applied at start and followed for changes. What a document has created goes when the document goes.',
        }),
      ),
    },
    { description: 'The site as files.' },
  ),
  access: Type.Object(
    {
      vaultKeyFile: file(
        '/etc/edge-image-agent/vault-key',
        'The key that passwords of sources are encrypted with: 32 bytes, raw or a line of base64 or hex; further lines are older keys. Without it the systemd credential `vault-key` is taken where there is one, else a key is made in `stateDir`.',
      ),
      auditRecords: Type.Integer({
        minimum: 100,
        maximum: 10_000_000,
        expected: 'a whole number from 100 to 10000000',
        default: 100_000,
        description: 'Records of the audit to keep at most.',
      }),
      auditAge: duration('1d', '36500d', '365d', 'How long records of the audit are kept.'),
    },
    { description: 'Who may do what, and what was done.' },
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
