import { readFileSync } from 'node:fs'
import t from 'tap'
import { parsePlatform } from '../../src/oci/platform.ts'
import { type PlanReading, readPlan } from '../../src/plans/plan.ts'
import { maxPlanBytes, planJsonSchema } from '../../src/plans/schema.ts'
import { planOf } from '../fixtures/plan-site.ts'

const platforms = [parsePlatform('linux/amd64')]
const sha = (char: string) => `sha256:${char.repeat(64)}`

function read(payload: string | Uint8Array | object, topicName?: string): PlanReading {
  const bytes =
    payload instanceof Uint8Array
      ? payload
      : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
  return readPlan(bytes, topicName === undefined ? { platforms } : { platforms, topicName })
}

function accepted(payload: string | object) {
  const reading = read(payload)
  if (reading.kind === 'refused') throw new Error(reading.problems.join('\n'))
  return reading.plan
}

function problemsOf(payload: string | Uint8Array | object, topicName?: string): readonly string[] {
  const reading = read(payload, topicName)
  return reading.kind === 'refused' ? reading.problems : []
}

t.test('every field of the contract, as YAML', async t => {
  const plan = accepted(`
apiVersion: image.mecm/v1
kind: DistributionPlan
metadata:
  name: shop-2.1.0
  revision: 4
  issuedAt: 2026-11-21T08:00:00Z
  notAfter: 2026-11-28T08:00:00+01:00
spec:
  images:
    - source: registry.mecm.example:5000/mecm/web:2.1.0
      digest: ${sha('a')}
      target: shop/web:stable
      mirrors: [mirror.example/mecm/web]
      platforms: [linux/arm64]
      referrers: false
    - source: nginx
      platforms: [all]
  remove: [mecm/web:1.9.0]
  atomic: false
  priority: 90
  package: {tenantId: t, appId: a, packageId: p, hostIp: 10.0.0.7}
`)
  t.strictSame(plan, {
    name: 'shop-2.1.0',
    revision: 4,
    issuedAt: Date.parse('2026-11-21T08:00:00Z'),
    notAfter: Date.parse('2026-11-28T07:00:00Z'),
    images: [
      {
        source: { registry: 'registry.mecm.example:5000', repository: 'mecm/web', tag: '2.1.0', digest: sha('a') },
        target: { repository: 'shop/web', tag: 'stable' },
        mirrors: [{ registry: 'mirror.example', repository: 'mecm/web' }],
        platforms: [{ os: 'linux', architecture: 'arm64' }],
        anyPlatform: false,
        referrers: false,
      },
      {
        source: { registry: 'docker.io', repository: 'library/nginx', tag: 'latest' },
        target: { repository: 'library/nginx', tag: 'latest' },
        mirrors: [],
        platforms: 'all',
        anyPlatform: false,
        referrers: true,
      },
    ],
    remove: [{ repository: 'mecm/web', tag: '1.9.0' }],
    atomic: false,
    priority: 90,
    limits: {},
    package: { tenantId: 't', appId: 'a', packageId: 'p', hostIp: '10.0.0.7' },
    withdrawn: false,
    notes: [],
  })
})

t.test('what is not said has its default', async t => {
  t.match(accepted(planOf('x', [`up.example/a/b@${sha('b')}`])), {
    notAfter: undefined,
    atomic: true,
    priority: 50,
    package: undefined,
    images: [{ target: { repository: 'a/b' }, platforms, referrers: true }],
  })
  const [image] = accepted(planOf('x', [{ source: 'up.example/a/b:1', target: 'c/d' }])).images
  t.strictSame(image?.target, { repository: 'c/d', tag: '1' }, "a target without a tag takes the source's")
})

t.test('every problem is listed at once, with its path and what was expected', async t => {
  const document = {
    apiVersion: 'image.mecm/v2',
    kind: 'DistributionPlan',
    metadata: { name: 'Shop', revision: 0, issuedAt: 'yesterday', labels: {} },
    spec: {
      image: [],
      images: [{ sorce: 'x', referrers: 'yes' }, { source: 7 }],
      priority: 101,
      atomic: 1,
      window: {},
      readyBy: 'x',
      maxRate: 20,
      package: { hostIp: 7, secret: 'hunter2' },
    },
    extra: 1,
  }
  const problems = problemsOf(document)
  t.strictSame(
    [...problems].sort(),
    [
      'apiVersion: expected "image.mecm/v1"',
      'extra: unknown field',
      'metadata.issuedAt: expected a time such as 2026-11-21T08:00:00Z',
      'metadata.labels: unknown field',
      'metadata.name: expected ^[a-z0-9][a-z0-9._-]{0,127}$',
      'metadata.revision: must be >= 1',
      'spec.atomic: expected true or false, got a number',
      'spec.image: unknown field; did you mean "images"?',
      'spec.images[0].referrers: expected true or false, got text',
      'spec.images[0].sorce: unknown field; did you mean "source"?',
      'spec.images[0].source: missing',
      'spec.images[1].source: expected text, got a number (write it in quotes)',
      'spec.maxRate: expected text, got a number (write it in quotes)',
      'spec.package.hostIp: expected The address of the edge host, or a list of them, got a number',
      'spec.package.secret: unknown field',
      'spec.priority: must be <= 100',
      'spec.readyBy: expected a time such as 2026-11-21T08:00:00Z',
      'spec.window: expected one or a list of {from: "01:00", to: "05:00", timezone: Asia/Shanghai, days: [mon, tue]}, got a mapping',
    ].sort(),
  )
  t.notMatch(problems.join(), /hunter2/)
})

t.test('what the sound parts of a plan mean is looked at beside a wrong form', t => {
  const wrong = (spec: object) => problemsOf({ ...planOf('a', []), spec })
  t.strictSame(
    wrong({
      atomic: 'yes',
      maxRate: 'fast',
      remove: ['x', 5],
      window: { from: '01:00', to: '05:00', timezone: 'Nowhere' },
      images: [
        { source: 'a b', digest: 'sha256:zz', tagg: 1 },
        7,
        { target: 'A', platforms: [3] },
        { source: 'ok.example/a:1', platforms: ['x'] },
        { source: 'ok.example/a:1', mirrors: 'b' },
      ],
    }).map(problem => problem.split(': ')[0]),
    [
      'spec.images[0].tagg',
      'spec.images[1]',
      'spec.images[2].source',
      'spec.images[2].platforms[0]',
      'spec.images[4].mirrors',
      'spec.remove[1]',
      'spec.atomic',
      'spec.images[0].source',
      'spec.images[0].digest',
      'spec.images[2].target',
      'spec.images[3].platforms',
      'spec.remove[0]',
      'spec.window.timezone',
      'spec.maxRate',
    ],
  )
  t.strictSame(wrong({ images: 'web' }), ['spec.images: expected a list, got text'])
  t.strictSame(wrong({ prio: 1 }), ['spec.prio: unknown field', 'spec: expected images or swImageDesc, got neither'])
  t.match(wrong({ swImageDesc: [{ swImage: [] }, { swImage: 'A B' }, {}] }), [
    /^spec\.swImageDesc\[0\]\.swImage: expected/,
    /^spec\.swImageDesc\[1\]\.swImage: /,
    /^spec\.swImageDesc\[2\]\.swImage: missing/,
  ])
  t.end()
})

t.test('windows and rate of a plan', async t => {
  const read = (spec: object) => {
    const document = planOf('shop', ['up.example/a:1'], { spec })
    const reading = readPlan(Buffer.from(JSON.stringify(document)), { platforms: [] })
    return reading.kind === 'plan' ? reading.plan.limits : reading.problems
  }
  t.same(read({}), {})
  t.same(read({ window: { from: '22:00', to: '04:00', timezone: 'UTC' }, maxRate: '20Mbit' }), {
    windows: [{ from: 1320, to: 240, timezone: 'UTC', days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] }],
    maxRate: 2_500_000,
  })
  t.match(read({ window: [{ from: '00:00', to: '24:00', days: ['sun'] }] }), {
    windows: [{ from: 0, to: 1440, timezone: String, days: ['sun'] }],
  })
  t.same(read({ window: [{ from: '01:00', to: '02:00', timezone: 'Mars/Base' }], maxRate: '10bit' }), [
    'spec.window[0].timezone: expected an IANA name such as Asia/Shanghai, got "Mars/Base"',
    'spec.maxRate: expected a rate of at least 1kbit, such as 20Mbit or 2.5MB, got "10bit"',
  ])
  const form = /^spec.window: expected one or a list of /
  for (const wrong of [{ from: '24:00', to: '05:00' }, { from: '1:00', to: '05:00' }, [], { from: '01:00' }]) {
    t.match(read({ window: wrong }), Array.isArray(wrong) ? [/^spec.window/] : [form])
  }
})

t.test('what images and targets may not be', async t => {
  const cases: [string, object, string | RegExp][] = [
    [
      'a source with a scheme',
      planOf('x', ['https://up.example/a:1']),
      /spec\.images\[0\]\.source: .*without: "up\.example\/a:1"/,
    ],
    ['a bad tag', planOf('x', ['up.example/a:-1']), /spec\.images\[0\]\.source: .*is not a tag/],
    [
      'a bad digest',
      planOf('x', [{ source: 'up.example/a:1', digest: 'sha256:12' }]),
      /spec\.images\[0\]\.digest: .*is not a digest/,
    ],
    [
      'a pin that contradicts the source',
      planOf('x', [{ source: `up.example/a@${sha('a')}`, digest: sha('b') }]),
      `spec.images[0].digest: contradicts the digest in the source, ${sha('a')}`,
    ],
    [
      'a bad target',
      planOf('x', [{ source: 'up.example/a:1', target: 'A:1' }]),
      /spec\.images\[0\]\.target: .*lower case/,
    ],
    [
      'a mirror with a tag',
      planOf('x', [{ source: 'up.example/a:1', mirrors: ['m.example/a:1'] }]),
      /spec\.images\[0\]\.mirrors\[0\]: /,
    ],
    [
      'a bad platform',
      planOf('x', [{ source: 'up.example/a:1', platforms: ['arm64'] }]),
      /spec\.images\[0\]\.platforms: .*os\/architecture/,
    ],
    [
      'all and more',
      planOf('x', [{ source: 'up.example/a:1', platforms: ['all', 'linux/arm'] }]),
      /"all" stands alone/,
    ],
    ['one target twice', planOf('x', ['a.example/x:1', 'b.example/x:1']), 'spec: two images have the target x:1'],
    [
      'a target that is removed',
      planOf('x', ['a.example/x:1'], { spec: { remove: ['x:1'] } }),
      /spec\.remove: x:1 is a target/,
    ],
    [
      'a removal without a tag',
      planOf('x', ['a.example/x:1'], { spec: { remove: ['y'] } }),
      /spec\.remove\[0\]: .*has no tag/,
    ],
    [
      'neither kind of images',
      planOf('x', [], { spec: { images: undefined } }),
      'spec: expected images or swImageDesc, got neither',
    ],
    [
      'both kinds',
      planOf('x', ['a.example/x:1'], { spec: { swImageDesc: [] } }),
      'spec: expected either images or swImageDesc, got both',
    ],
    ['nothing at all', planOf('x', []), 'spec.images: expected at least one image, or something to remove'],
  ]
  for (const [name, document, expected] of cases) t.match(problemsOf(document), [expected], name)
  t.strictSame(
    problemsOf(planOf('x', [], { spec: { images: undefined, withdrawn: true } })),
    [],
    'a withdrawal needs no images',
  )
})

t.test('a leap second has the form of a time, but is none', async t => {
  const document = planOf('x', ['a.example/x:1'], { metadata: { issuedAt: '2026-12-31T23:59:60Z' } })
  t.strictSame(problemsOf(document), ['metadata.issuedAt: expected a time such as 2026-11-21T08:00:00Z'])
})

t.test('the name is the last level of the topic', async t => {
  t.strictSame(problemsOf(planOf('x', ['a.example/x:1']), 'x'), [])
  t.strictSame(problemsOf(planOf('x', ['a.example/x:1']), 'y'), [
    'metadata.name: "x" is not the last level of its topic, "y"',
  ])
})

t.test('what is no document at all', async t => {
  t.match(problemsOf('{"a": 1'), [/^the plan is neither JSON nor YAML: /])
  t.match(problemsOf('hello'), ['the plan: expected a mapping, got text'])
  t.match(problemsOf(''), ['the plan: expected a mapping, got nothing'])
  t.match(problemsOf('[]'), ['the plan: expected a mapping, got a list'])
  t.match(problemsOf(new Uint8Array([0xff, 0xfe, 0])), ['the plan is not UTF-8 text'])
  t.match(problemsOf('a: 1\n---\nb: 2\n'), [/multiple documents/])
  t.match(problemsOf('a: 1\na: 2\n'), ['the key "a" stands twice'])
  t.match(problemsOf('{"a": 1, "b": {"c": "a:", "\\u0063": 2}}'), ['the key "c" stands twice'])
  t.match(problemsOf(new Uint8Array(maxPlanBytes + 1).fill(32)), [`the plan is larger than ${maxPlanBytes} bytes`])
  t.match(problemsOf('['.repeat(500_000)), [/nested deeper/])
  t.ok(problemsOf('{"__proto__": {"a": 1}}').includes('__proto__: unknown field'))
})

t.test('aliases can not blow a plan up', async t => {
  const levels = [...'abcdefghi'].map((name, at, all) => {
    const last = all[at - 1]
    return `${name}: &${name} [${Array(10)
      .fill(last ? `*${last}` : 'x')
      .join(',')}]`
  })
  t.match(problemsOf(levels.join('\n')), [/Excessive alias count/])
})

t.test('an enormous number of problems is counted', async t => {
  const images = Array.from({ length: 300 }, () => ({ source: 'https://x.example/a:1' }))
  const problems = problemsOf(planOf('x', images))
  t.equal(problems.length, 101)
  t.equal(problems.at(-1), 'and 200 more')
})

t.test('a signed plan is refused as untrusted: there is no key to check it with', async t => {
  const signed = `${Buffer.from('{"alg":"EdDSA"}').toString('base64url')}.${Buffer.from('{}').toString('base64url')}.c2ln`
  const flattened = { payload: 'e30', protected: 'e30', signature: 'c2ln' }
  for (const payload of [signed, flattened])
    t.match(read(payload), { kind: 'refused', reason: 'Untrusted', problems: [/signed/] })
})

t.test('credentials do not come back in what is reported', async t => {
  const [problem] = problemsOf(planOf('x', ['https://robot:hunter2@up.example/a:1']))
  t.notMatch(problem, /hunter2/)
  t.match(problem, /without: "up\.example/)
})

t.test('name and revision are made out of a refused plan as far as can be', async t => {
  t.match(read(planOf('shop', ['A'])), { name: 'shop', revision: 1 })
  t.match(read({ metadata: { name: 'NO', revision: '1' } }), { name: undefined, revision: undefined })
})

t.test('the shipped JSON Schema is that of the code', async t => {
  const shipped = JSON.parse(readFileSync(new URL('../../docs/plan.schema.json', import.meta.url), 'utf8'))
  t.strictSame(shipped, JSON.parse(JSON.stringify(planJsonSchema())))
})
