import t from 'tap'
import { formatPlatform } from '../../src/oci/platform.ts'
import { formatReference } from '../../src/oci/reference.ts'
import { readPlan } from '../../src/plans/plan.ts'
import { readSwImageDesc } from '../../src/plans/sw-image-desc.ts'
import { planOf } from '../fixtures/plan-site.ts'

function references(...entries: Parameters<typeof readSwImageDesc>[0][number][]) {
  return readSwImageDesc(entries).images.map(image => formatReference(image.source))
}

t.test('an entry of a real package', async t => {
  const swImageDesc = [
    {
      id: '304379b3-0000-4000-8000-000000000000',
      name: 'positioning_service:1.0',
      version: '1.0',
      checksum: '2',
      containerFormat: 'bare',
      diskFormat: 'raw',
      minDisk: 3,
      minRam: '6',
      architecture: 'X86',
      size: 688390,
      swImage: '192.0.2.144/appstore/positioning_service:1.0',
      operatingSystem: 'linux',
      supportedVirtualisationEnvironment: 'linux',
      unheardOf: { x: 1 },
    },
  ]
  const document = planOf('pkg', [], { spec: { images: undefined, swImageDesc } })
  const reading = readPlan(Buffer.from(JSON.stringify(document)), { platforms: [] })
  t.match(reading, {
    kind: 'plan',
    plan: {
      images: [
        {
          source: { registry: '192.0.2.144', repository: 'appstore/positioning_service', tag: '1.0' },
          target: { repository: 'appstore/positioning_service', tag: '1.0' },
          platforms: [{ os: 'linux', architecture: 'amd64' }],
        },
      ],
    },
  })
})

t.test('the tag is that of swImage, else the version, else latest', async t => {
  t.strictSame(references({ swImage: 'r.example/a/b:3', version: '1.0', name: 'b:2' }), ['r.example/a/b:3'])
  t.strictSame(references({ swImage: 'r.example:5000/a/b', version: '1.0', name: 'b:2' }), ['r.example:5000/a/b:1.0'])
  t.strictSame(references({ swImage: 'r.example/a/b', version: 2 }), ['r.example/a/b:2'], 'a number is text')
  t.strictSame(references({ swImage: 'r.example/a/b', version: '' }, { swImage: 'r.example/c', version: null }), [
    'r.example/a/b:latest',
    'r.example/c:latest',
  ])
  const odd = readSwImageDesc([{ name: 'b', swImage: 'r.example/a/b', version: '1.0 (beta)' }])
  t.match(odd, {
    images: [{ source: { tag: 'latest' } }],
    notes: ['b: version "1.0 (beta)" can not be a tag; latest is taken'],
  })
})

t.test('the whole path is kept', async t => {
  t.strictSame(references({ swImage: 'r.example/a/x:1' }, { swImage: 'r.example/b/c/x:1' }), [
    'r.example/a/x:1',
    'r.example/b/c/x:1',
  ])
})

t.test('what is in the package, and virtual machines, are skipped and said', async t => {
  const read = readSwImageDesc([
    { name: 'in package', swImage: 'Image/x.zip/dir/y.tar' },
    { name: 'vm by url', swImage: 'http://10.0.0.1/vm/system.img' },
    { name: 'vm by file', swImage: 'vms/debian.qcow2' },
    { name: 'vm by iso', swImage: 'r.example/vms/debian.ISO' },
    { name: 'vm by format', swImage: 'r.example/vms/debian:1', diskFormat: 'qcow2' },
    { name: 'real', swImage: 'r.example/real:1', diskFormat: 'raw' },
  ])
  t.equal(read.images.length, 1)
  t.equal(read.notes.length, 5)
  t.match(read.notes[0], 'in package skipped: a file of the application package')
  t.match(read.notes[1], 'vm by url skipped: a URL')
  t.strictSame(read.problems, [])
})

t.test('architectures, in all the ways they are written', async t => {
  const cases: [string, string][] = [
    ['X86', 'linux/amd64'],
    ['x86', 'linux/amd64'],
    ['x86_64', 'linux/amd64'],
    ['aarch64', 'linux/arm64'],
    ['ARM64', 'linux/arm64'],
  ]
  for (const [architecture, platform] of cases) {
    const [image] = readSwImageDesc([{ swImage: 'r.example/a:1', architecture }]).images
    t.strictSame(image?.platforms?.map(formatPlatform), [platform], architecture)
  }
  const unknown = readSwImageDesc([{ name: 'a', swImage: 'r.example/a:1', architecture: 'GPU' }])
  t.match(unknown, { images: [{ platforms: undefined }], notes: [/"GPU" is not known/] })
})

t.test('one image that is listed for two architectures is one image with two platforms', async t => {
  const { images } = readSwImageDesc([
    { swImage: 'r.example/a:1', architecture: 'X86' },
    { swImage: 'r.example/a:1', architecture: 'aarch64' },
  ])
  t.strictSame(
    images.map(image => image.platforms?.map(formatPlatform)),
    [['linux/amd64', 'linux/arm64']],
  )
})

t.test('what can not be read is a problem with its path', async t => {
  const { problems } = readSwImageDesc([{ name: 'a' }, { swImage: 'r.example/UPPER:1' }])
  t.match(problems, [/^spec\.swImageDesc\[0\]\.swImage: missing/, /^spec\.swImageDesc\[1\]\.swImage: .*lower case/])
})
