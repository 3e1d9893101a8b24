/**
 * The kinds of image management as they are written and as they are read back. One schema per kind gives the check, the types and
 * the API's description. Contract: group image.theriseunion.io, version v1alpha1.
 */
import { validate as isCron } from 'node-cron'
import { type Static, type TSchema, Type } from 'typebox'
import { isRegistryHost, isRepository, isTag } from '../oci/reference.ts'
import { hasUserinfo, withoutUserinfo } from '../oci/userinfo.ts'
import { type FieldFacts, textField } from './fields.ts'
import { parseGoDuration } from './go-duration.ts'
import { parseTagPattern } from './tag-pattern.ts'

export const apiGroup = 'image.theriseunion.io'
export const apiVersion = `${apiGroup}/v1alpha1`

/** Annotations that people write. */
export const annotationNames = {
  displayName: 'theriseunion.io/display-name',
  description: 'theriseunion.io/description',
  /** Starts a sync. */
  manualSync: 'theriseunion.io/manual-sync',
} as const

/** Annotations that the server writes on a RegistrySecret. */
export const writtenAnnotations = {
  domain: 'theriseunion.io/domain',
  username: 'theriseunion.io/username',
  provider: 'theriseunion.io/provider',
  verifyStatus: 'theriseunion.io/verify-status',
  verifyMessage: 'theriseunion.io/verify-message',
  verifyTimestamp: 'theriseunion.io/verify-timestamp',
} as const

const labelPart = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const labelPattern = new RegExp(`^${labelPart}$`)
const namePattern = new RegExp(`^${labelPart}(?:\\.${labelPart})*$`)
const nameForm =
  'a DNS-1123 name: lower case letters, digits, "-" and ".", starting and ending with a letter or digit, at most 253'
const namespaceForm =
  'a DNS-1123 label: lower case letters, digits and "-", starting and ending with a letter or digit, at most 63'

export function isObjectName(text: string): boolean {
  return text.length <= 253 && namePattern.test(text)
}

export function isNamespace(text: string): boolean {
  return labelPattern.test(text)
}

const objectName = (example: string) => textField(nameForm, isObjectName, { example, correct: lowerCase })
const namespaceField = (facts: FieldFacts = {}) =>
  textField(namespaceForm, isNamespace, { example: 'default', correct: lowerCase, ...facts })

function Strings(expected: string) {
  return Type.Optional(
    Type.Record(Type.String({ maxLength: 316 }), Type.String({ maxLength: 4096 }), { expected, maxProperties: 64 }),
  )
}

/** `metadata` as it may be sent. What the server writes itself may stand there, too (a document that was read back), and is not looked at. */
function Metadata(example: string) {
  return Type.Object({
    name: objectName(example),
    namespace: Type.Optional(namespaceField()),
    annotations: Strings('a mapping of at most 64 texts'),
    labels: Strings('a mapping of at most 64 texts'),
    uid: Type.Optional(Type.Unknown()),
    creationTimestamp: Type.Optional(Type.Unknown()),
    resourceVersion: Type.Optional(Type.Unknown()),
    generation: Type.Optional(Type.Unknown()),
    managedFields: Type.Optional(Type.Unknown()),
  })
}

function Kind<Name extends string, Spec extends TSchema>(kind: Name, example: string, spec: Spec) {
  return Type.Object({
    apiVersion: Type.Literal(apiVersion, { expected: `"${apiVersion}"` }),
    kind: Type.Literal(kind, { expected: `"${kind}"` }),
    metadata: Metadata(example),
    spec,
    status: Type.Optional(Type.Unknown()),
  })
}

const referenceFacts = {
  expected: 'a mapping with name and namespace of a RegistrySecret',
  example: { name: 'harbor-main', namespace: 'default' },
}
const SourceReference = Type.Object(
  { name: objectName('harbor-main'), namespace: namespaceField({ description: 'Where it stands' }) },
  referenceFacts,
)
/** Further sources are our extension: theirs may be left to the Repository's own namespace. */
const FallbackReference = Type.Object(
  {
    name: objectName('harbor-standby'),
    namespace: Type.Optional(namespaceField({ description: "Default: the Repository's own" })),
  },
  referenceFacts,
)

const RegistrySecretSpec = Type.Object({
  domain: textField('host[:port], without a scheme and a path', isRegistryHost, {
    example: 'harbor.example',
    correct: correctDomain,
    description: 'Where the registry is',
  }),
  username: Type.Optional(
    textField('text without ":" and control characters', text => !/[:\p{Cc}]/u.test(text), {
      example: 'robot$sync',
      correct: leaveOut,
      description: 'Without it the registry is asked anonymously',
    }),
  ),
  password: Type.Optional(
    textField(
      'text without control characters',
      text => !/\p{Cc}/u.test(text),
      { secret: true, correct: leaveOut },
      16 * 1024,
    ),
  ),
  provider: textField('the name of a provider', text => /^[a-z0-9][a-z0-9-]{0,62}$/.test(text), {
    example: 'harbor',
    description: 'What kind of registry it is',
  }),
})

const RepositorySpec = Type.Object({
  // A first part that is "localhost" is a host for docker, although a path may begin so.
  repository: textField('a path without a tag', text => isRepository(text) && !text.startsWith('localhost/'), {
    example: 'library/nginx',
    correct: correctPath,
    description: 'The path, at the source and in the local registry',
  }),
  tag: Type.Optional(
    textField('a tag: letters, digits, "_", "." and "-", at most 128', isTag, {
      example: '1.27',
      description: 'The tag',
    }),
  ),
  tagPattern: Type.Optional(
    textField('a semver range or a glob', text => parseTagPattern(text) !== undefined, {
      example: '^1.27',
      description: 'Instead of tag: every tag of the path that fits',
    }),
  ),
  registryRef: SourceReference,
  fallbackRefs: Type.Optional(
    Type.Array(FallbackReference, {
      expected: 'a list of RegistrySecrets',
      example: [{ name: 'harbor-standby', namespace: 'default' }],
      description: 'Other sources of the same content, asked when the first one fails',
    }),
  ),
  syncInterval: goDuration('1h', 1_000, 'How often it is looked for something new'),
  syncTimeout: goDuration('10m', 1_000, 'A sync that takes longer has failed'),
  retryCount: Type.Integer({
    ...{ minimum: 0, maximum: 100, default: 3, example: 3 },
    expected: 'a whole number from 0 to 100',
    description: 'Attempts after the first',
  }),
})

const CleanupPolicySpec = Type.Object({
  keepRecent: Type.Optional(
    Type.Integer({
      ...{ minimum: 0, maximum: 100_000, example: 5 },
      expected: 'a whole number from 0 to 100000',
      description: 'The newest so many versions of each path stay',
    }),
  ),
  unusedDays: Type.Optional(
    Type.Integer({
      ...{ minimum: 0, maximum: 36_500, example: 30 },
      expected: 'a whole number of days from 0 to 36500',
      description: 'Only what was not pulled and not planned for so long goes',
    }),
  ),
  schedule: Type.Optional(
    textField('five-field cron', text => text.trim().split(/\s+/).length === 5 && isCron(text.trim()), {
      example: '0 2 * * *',
      description: 'When; without it, only when it is asked for',
    }),
  ),
  namespaces: Type.Optional(
    Type.Array(namespaceField(), {
      expected: 'a list of namespaces',
      example: ['default'],
      description: 'Where it applies',
    }),
  ),
  exclude: Type.Optional(
    Type.Array(
      Type.Object({
        name: textField('a path, or a glob of paths', text => /^[a-z0-9._/*?-]+$/.test(text), {
          example: 'library/nginx',
        }),
        tag: Type.Optional(
          textField('a tag, or a glob of tags', text => /^[A-Za-z0-9_.*?-]{1,128}$/.test(text), { example: '1.27' }),
        ),
      }),
      {
        expected: 'a list of {name, tag}',
        example: [{ name: 'library/nginx', tag: '1.27' }],
        description: 'What always stays',
      },
    ),
  ),
})

export const RegistrySecretSchema = Kind('RegistrySecret', 'harbor-main', RegistrySecretSpec)
export const RepositorySchema = Kind('Repository', 'nginx', RepositorySpec)
export const ImageCleanupPolicySchema = Kind('ImageCleanupPolicy', 'nightly', CleanupPolicySpec)

export type RegistrySecretDocument = Static<typeof RegistrySecretSchema>
export type RepositoryDocument = Static<typeof RepositorySchema>
export type ImageCleanupPolicyDocument = Static<typeof ImageCleanupPolicySchema>

/** `metadata` as it is read back. */
export interface ObjectMetadata {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  /** ISO 8601, whole seconds. */
  readonly creationTimestamp: string
  /** Grows with every change of any object. */
  readonly resourceVersion: string
  readonly annotations: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
}

export interface ManagedObject<Name extends string, Spec, Status> {
  readonly apiVersion: typeof apiVersion
  readonly kind: Name
  readonly metadata: ObjectMetadata
  readonly spec: Spec
  readonly status: Status
}

function goDuration(fallback: string, leastMs: number, description: string) {
  const fits = (text: string) => (parseGoDuration(text) ?? 0) >= leastMs
  return textField('a Go duration of at least 1s: 30m, 24h', fits, { default: fallback, description })
}

const scheme = /^[a-z][a-z0-9+.-]*:\/\//i

/** `https://harbor.example/v2/` is `harbor.example`. */
function correctDomain(value: string): string | undefined {
  const host = withoutUserinfo(value)
    .replace(/^…@/, '')
    .replace(scheme, '')
    .replace(/[/?#].*$/s, '')
  if (host === value || !isRegistryHost(host)) return undefined
  return `expected host[:port], without a scheme and a path: write "${host}"`
}

/**
 * What people copy from elsewhere: `https://harbor.example/library/nginx:1.27` is the path `library/nginx` and the tag `1.27`; the host
 * belongs to the source. A first part is a host where docker takes it for one, and after a scheme always.
 */
function correctPath(value: string): string | undefined {
  const own = hasUserinfo(value) ? withoutUserinfo(value).replace(/^…@/, '') : value
  const bare = own
    .replace(scheme, '')
    .replace(/@.*$/s, '')
    .replace(/^\/+|\/+$/g, '')
  const colon = bare.lastIndexOf(':')
  const tag = colon > bare.lastIndexOf('/') ? bare.slice(colon + 1) : ''
  const given = tag === '' ? bare : bare.slice(0, colon)
  const [first = '', ...rest] = given.split('/')
  const hasHost = rest.length > 0 && (scheme.test(own) || /[.:]/.test(first) || first === 'localhost')
  const path = (hasHost ? rest.join('/') : given).toLowerCase()
  if (path === value || !isRepository(path) || (tag !== '' && !isTag(tag))) return undefined
  const without = [...(hasHost ? ['a host'] : []), ...(tag === '' ? [] : ['a tag'])].join(' and ')
  const form = without !== '' ? `without ${without}` : path === given ? 'alone' : 'in lower case'
  const write = `write repository: "${path}"${tag === '' ? '' : ` and tag: "${tag}"`}`
  return `expected a path ${form}: ${write}${hasHost ? '; the host belongs to the RegistrySecret' : ''}`
}

/** Forms send what was not filled in as empty text. */
function leaveOut(value: string): string | undefined {
  return value === '' ? 'is empty: leave username and password out where the registry is asked anonymously' : undefined
}

function lowerCase(value: string): string | undefined {
  const lower = value.toLowerCase()
  return lower !== value && isObjectName(lower) ? `expected lower case: write "${lower}"` : undefined
}
