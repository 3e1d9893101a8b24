import t from 'tap'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'
import { formatPlatform, parsePlatform } from '../../src/oci/platform.ts'
import { choosePlatforms } from '../../src/transfer/platforms.ts'

function entry(platform?: string, facts: Partial<Descriptor> = {}): Descriptor {
  const [os = '', architecture = '', variant] = platform?.split('/') ?? []
  return {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(Buffer.from(JSON.stringify([platform, facts]))),
    size: 1,
    ...(platform ? { platform: { os, architecture, ...(variant ? { variant } : {}) } } : {}),
    ...facts,
  }
}

function choose(entries: readonly Descriptor[], wanted: readonly string[], referrers = true) {
  const choice = choosePlatforms(entries, wanted.map(parsePlatform), referrers)
  return { entries: choice.chosen, served: choice.served.map(formatPlatform), offered: choice.offered }
}

const amd64 = entry('linux/amd64')
const amd64v3 = entry('linux/amd64/v3')
const arm64 = entry('linux/arm64/v8')
const armv6 = entry('linux/arm/v6')
const armv7 = entry('linux/arm/v7')

t.test('the best match for each wanted platform', async t => {
  const all = [amd64, amd64v3, arm64, armv6, armv7]
  t.same(choose(all, ['linux/amd64']).entries, [amd64])
  t.same(choose(all, ['linux/arm64']).entries, [arm64])
  t.same(choose(all, ['linux/arm/v7', 'linux/amd64']).entries, [amd64, armv7])
  t.same(choose([armv6], ['linux/arm/v7']).entries, [armv6], 'a lower variant runs, too')
  t.same(choose(all, ['linux/s390x']), {
    entries: [],
    served: [],
    offered: ['linux/amd64', 'linux/amd64/v3', 'linux/arm64/v8', 'linux/arm/v6', 'linux/arm/v7'],
  })
})

t.test('entries without a platform and nested indexes are always taken', async t => {
  const nested = entry('linux/s390x', { mediaType: mediaTypes.ociIndex })
  const artifact = entry(undefined, { artifactType: 'application/vnd.example' })
  t.same(choose([amd64, nested, artifact, arm64], ['linux/arm64']).entries, [nested, artifact, arm64])
})

t.test('an attestation comes with the manifest that it speaks of, where referrers are wanted', async t => {
  const about = (digest: string) =>
    entry('unknown/unknown', {
      annotations: { 'vnd.docker.reference.digest': digest, 'vnd.docker.reference.type': 'attestation-manifest' },
    })
  const entries = [amd64, arm64, about(amd64.digest), about(arm64.digest)]
  t.same(choose(entries, ['linux/arm64']).entries, [arm64, entries[3]])
  t.same(choose(entries, ['linux/arm64'], false).entries, [arm64])
  t.same(choosePlatforms(entries, 'all', true).chosen, entries)
})
