import t from 'tap'
import {
  listAnnotationProblems,
  readImageCleanupPolicy,
  readRegistrySecret,
  readRepository,
} from '../../src/management/documents.ts'
import { parseGoDuration } from '../../src/management/go-duration.ts'
import { ManagementError } from '../../src/management/management-error.ts'

const secret = 'plant-0c55de'

function problemsOf(read: () => unknown): readonly string[] {
  try {
    read()
    return []
  } catch (error) {
    if (error instanceof ManagementError && error.reason === 'Invalid') return error.problems
    throw error
  }
}

const source = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'harbor-main', ...metadata },
  spec: { domain: 'harbor.example', username: 'robot$sync', password: secret, provider: 'harbor', ...spec },
})
const repository = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'nginx', ...metadata },
  spec: { repository: 'library/nginx', tag: '1.27', registryRef: { name: 'harbor-main', namespace: 'shops' }, ...spec },
})
const policy = (spec: object = {}) => ({ metadata: { name: 'nightly' }, spec: { keepRecent: 5, ...spec } })

t.test('what is right is completed with the defaults of the contract', async t => {
  t.same(readRepository(repository(), { namespace: 'shops' }), {
    metadata: { name: 'nginx', namespace: 'shops', annotations: {}, labels: {} },
    spec: {
      repository: 'library/nginx',
      tag: '1.27',
      registryRef: { name: 'harbor-main', namespace: 'shops' },
      syncInterval: '1h',
      syncTimeout: '10m',
      retryCount: 3,
    },
  })
  t.equal(readRegistrySecret(source({ domain: 'Harbor.Example:8443' })).spec.domain, 'harbor.example:8443')
  t.same(readRegistrySecret({ metadata: { name: 'hub' }, spec: { domain: 'docker.io', provider: 'dockerhub' } }).spec, {
    domain: 'docker.io',
    provider: 'dockerhub',
  })
  t.equal(readRegistrySecret(source(), { defaultNamespace: 'x' }).metadata.namespace, 'x')
  t.same(
    readImageCleanupPolicy(policy({ schedule: '0 2 * * *', exclude: [{ name: 'library/nginx', tag: '1.27' }] })).spec,
    {
      keepRecent: 5,
      schedule: '0 2 * * *',
      exclude: [{ name: 'library/nginx', tag: '1.27' }],
    },
  )
})

t.test('a document that was read back can be sent again', async t => {
  const annotations = {
    'theriseunion.io/domain': 'x',
    'theriseunion.io/verify-status': 'success',
    'theriseunion.io/display-name': 'Main',
    'kubectl.kubernetes.io/last-applied-configuration': `{"password":"${secret}"}`,
  }
  const read = readRegistrySecret({
    ...source({}, { uid: 'u', creationTimestamp: 't', resourceVersion: '4', annotations }),
    status: { verifyStatus: 'success' },
  })
  t.same(read.metadata.annotations, { 'theriseunion.io/display-name': 'Main' })
})

t.test('the mistakes that people make are answered with the correction', async t => {
  const domains: Record<string, RegExp> = {
    'https://harbor.example/v2/': /^spec\.domain: .*without a scheme.*write "harbor\.example"$/,
    'http://harbor.example:8080': /write "harbor\.example:8080"$/,
    'harbor.example/library': /write "harbor\.example"$/,
    'user:pass@harbor.example': /write "harbor\.example"$/,
    'not a host': /^spec\.domain: expected host\[:port\]/,
  }
  for (const [domain, expected] of Object.entries(domains)) {
    t.match(
      problemsOf(() => readRegistrySecret(source({ domain }))),
      [expected],
      domain,
    )
  }
  const paths: Record<string, RegExp> = {
    'library/nginx:1.27': /^spec\.repository: .*without a tag.*repository: "library\/nginx" and tag: "1\.27"$/,
    'harbor.example:8443/library/nginx': /without a host: write repository: "library\/nginx"/,
    'harbor.example/library/nginx:1.27':
      /without a host and a tag: write repository: "library\/nginx" and tag: "1\.27"; the host belongs/,
    'registry:5000/library/nginx:1.27': /write repository: "library\/nginx" and tag: "1\.27"; the host belongs/,
    'https://h/library/nginx': /without a host: write repository: "library\/nginx"; the host belongs/,
    'https://h/library/nginx:1.27': /write repository: "library\/nginx" and tag: "1\.27"; the host belongs/,
    'localhost/library/nginx': /without a host: write repository: "library\/nginx"; the host belongs/,
    'localhost:5000/nginx': /without a host: write repository: "nginx"; the host belongs/,
    '/library/nginx/': /expected a path alone: write repository: "library\/nginx"$/,
    'library/nginx@sha256:0': /expected a path alone: write repository: "library\/nginx"$/,
    'Library/Nginx': /lower case: write repository: "library\/nginx"$/,
    'library//nginx': /^spec\.repository: expected a path without a tag, e\.g\. "library\/nginx", got/,
  }
  for (const [path, expected] of Object.entries(paths)) {
    t.match(
      problemsOf(() => readRepository(repository({ repository: path }))),
      [expected],
      path,
    )
  }
  t.match(
    problemsOf(() => readRepository(repository({ tag: 1.27 }))),
    [/^spec\.tag: .*got 1\.27 \(write it in quotes\)$/],
  )
  t.match(
    problemsOf(() => readRepository(repository({ syncIntervall: '1h' }))),
    [/did you mean "syncInterval"\?$/],
  )
  t.match(
    problemsOf(() => readRegistrySecret(source({}, { name: 'Harbor' }))),
    [/write "harbor"$/],
  )
})

t.test('every wrong field of every kind, with its path, what was expected and an example', async t => {
  const wrong: [() => unknown, string][] = [
    [() => readRegistrySecret(source({}, { name: '-a' })), 'metadata.name: expected a DNS-1123 name'],
    [() => readRegistrySecret(source({}, { namespace: 'a.b' })), 'metadata.namespace: expected a DNS-1123 label'],
    [
      () => readRegistrySecret(source({ provider: 'quay' })),
      'spec.provider: expected one of harbor, dockerhub, aliyun, other',
    ],
    [() => readRegistrySecret(source({ username: 'a:b' })), 'spec.username: expected text without ":"'],
    [() => readRegistrySecret(source({ password: null })), 'spec.password: is required with a username'],
    [() => readRegistrySecret(source({ username: null })), 'spec.username: is required with a password'],
    [() => readRegistrySecret(source({ password: 7 })), 'spec.password: expected text'],
    [() => readRepository(repository({ tag: 'a b' })), 'spec.tag: expected a tag'],
    [() => readRepository(repository({ tag: null })), 'spec.tag: is required'],
    [() => readRepository(repository({ tagPattern: '^1' })), 'spec.tagPattern: not together with spec.tag'],
    [
      () => readRepository(repository({ tag: null, tagPattern: 'latest' })),
      'spec.tagPattern: expected a semver range or a glob',
    ],
    [() => readRepository(repository({ registryRef: { namespace: 'a' } })), 'spec.registryRef.name: is required'],
    [() => readRepository(repository({ registryRef: { name: 'a' } })), 'spec.registryRef.namespace: is required'],
    [() => readRepository(repository({ registryRef: 'x' })), 'spec.registryRef: expected a mapping'],
    [() => readRepository(repository({ fallbackRefs: [{}] })), 'spec.fallbackRefs[0].name: is required'],
    [
      () => readRepository(repository({ syncInterval: '10' })),
      'spec.syncInterval: expected a Go duration of at least 1s: 30m, 24h',
    ],
    [() => readRepository(repository({ syncTimeout: '5 minutes' })), 'spec.syncTimeout: expected a Go duration'],
    [() => readRepository(repository({ retryCount: 1.5 })), 'spec.retryCount: expected a whole number from 0 to 100'],
    [() => readImageCleanupPolicy(policy({ keepRecent: -1 })), 'spec.keepRecent: expected a whole number'],
    [() => readImageCleanupPolicy(policy({ unusedDays: '30' })), 'spec.unusedDays: expected a whole number'],
    [
      () => readImageCleanupPolicy(policy({ schedule: '0 2 * *' })),
      'spec.schedule: expected five-field cron, e.g. "0 2 * * *"',
    ],
    [() => readImageCleanupPolicy(policy({ schedule: '99 2 * * *' })), 'spec.schedule: expected five-field cron'],
    [() => readImageCleanupPolicy(policy({ namespaces: ['A'] })), 'spec.namespaces[0]: expected lower case'],
    [() => readImageCleanupPolicy(policy({ exclude: [{ tag: 'x' }] })), 'spec.exclude[0].name: is required'],
    [() => readImageCleanupPolicy(policy({ keepRecent: null })), 'spec: expected keepRecent or unusedDays'],
  ]
  for (const [read, expected] of wrong) {
    const problems = problemsOf(read)
    t.equal(problems.length, 1, expected)
    t.ok(problems[0]?.startsWith(expected), `${problems[0]} begins with ${expected}`)
  }
  t.match(
    problemsOf(() => readRepository({})),
    [/^metadata\.name/, /^spec\.repository/, /^spec\.registryRef\.name/, /^spec\.registryRef\.namespace/, /^spec\.tag/],
  )
  t.match(
    problemsOf(() => readRepository('x')),
    [/^the document: expected a mapping/],
  )
  t.match(
    problemsOf(() => readRegistrySecret({ ...source(), kind: 'Repository', apiVersion: 'v1' })),
    [
      'apiVersion: expected "image.theriseunion.io/v1alpha1", got "v1"',
      'kind: expected "RegistrySecret", got "Repository"',
    ],
  )
  t.match(
    problemsOf(() => readRepository(repository({}, { namespace: 'a' }), { namespace: 'b' })),
    ['metadata.namespace: expected "b" as in the path, got "a"'],
  )
})

t.test('a thousand wrong fields are a hundred problems, and no secret stands in any', async t => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`field${at}`, secret]))
  const problems = problemsOf(() => readRegistrySecret(source({ ...many, password: [secret], domain: { secret } })))
  t.equal(problems.length, 101)
  t.notMatch(problems.join('\n'), new RegExp(secret))
  t.notMatch(
    problemsOf(() => readRegistrySecret(source({}, { annotations: { a: [secret] } }))).join(),
    new RegExp(secret),
  )
})

t.test('annotations that may be changed', async t => {
  t.same(listAnnotationProblems({ 'theriseunion.io/display-name': 'x', 'theriseunion.io/description': null }), [])
  t.match(listAnnotationProblems({ 'theriseunion.io/verify-status': 'success' }), [/is written by the server/])
  t.match(listAnnotationProblems({ 'theriseunion.io/description': 'x'.repeat(5000) }), [/at most 4096/])
})

t.test('Go durations', async t => {
  const known = {
    '30m': 1_800_000,
    '24h': 86_400_000,
    '1h30m': 5_400_000,
    '1.5h': 5_400_000,
    '100ms': 100,
    '0': 0,
    '.5s': 500,
  }
  for (const [text, ms] of Object.entries(known)) t.equal(parseGoDuration(text), ms, text)
  for (const text of ['', '5', '1d', '-1h', '1h 30m', 'h', '1e3s', '9'.repeat(40)])
    t.equal(parseGoDuration(text), undefined, text)
})

t.test('a password in an address is left out of what is said about it', async t => {
  for (const given of [`u:${secret}@h.example`, `https://u:${secret}@h.example/v2/`, `u:12/${secret}@h.example`]) {
    const problems = problemsOf(() => readRegistrySecret(source({ domain: given }))).join()
    t.match(problems, /^spec\.domain: expected host\[:port\].*"h\.example"/, given)
    t.notMatch(problems, new RegExp(`${secret}|u:`))
  }
  for (const given of [`https://u:${secret}@h.example/mecm/app`, `u:${secret}@h.example/mecm/app:1`]) {
    const problems = problemsOf(() => readRepository(repository({ repository: given }))).join()
    t.match(problems, /write repository: ".*mecm\/app"/, given)
    t.notMatch(problems, new RegExp(secret))
  }
})

t.test('empty credentials, as a form sends them, are to be left out', async t => {
  t.same(
    problemsOf(() => readRegistrySecret(source({ username: '', password: '' }))),
    ['username', 'password'].map(
      field => `spec.${field}: is empty: leave username and password out where the registry is asked anonymously`,
    ),
  )
})
