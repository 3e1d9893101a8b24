import t from 'tap'
import { childrenOf, maxManifestBytes, parseManifest } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-types.ts'

const blob = { mediaType: 'application/octet-stream', digest: `sha256:${'a'.repeat(64)}`, size: 3 }
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: blob, layers: [blob] }
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))

t.test('images and indexes, with and without a media type of their own', async t => {
  t.match(parseManifest(bytes(image)), { kind: 'image', mediaType: mediaTypes.ociManifest })
  t.equal(childrenOf(parseManifest(bytes(image))).length, 2)
  const { mediaType: _, ...bare } = image
  t.equal(parseManifest(bytes(bare)).mediaType, mediaTypes.ociManifest)
  t.equal(
    parseManifest(bytes(bare), `${mediaTypes.dockerManifest}; charset=utf-8`).mediaType,
    mediaTypes.dockerManifest,
  )
  const index = parseManifest(
    bytes({ schemaVersion: 2, manifests: [{ ...blob, platform: { os: 'linux', architecture: 'arm64' } }] }),
  )
  t.match(index, {
    kind: 'index',
    mediaType: mediaTypes.ociIndex,
    manifests: [{ platform: { architecture: 'arm64' } }],
  })
})

t.test('what is not a manifest is refused, by code and with the reason', async t => {
  const cases: [unknown, string, RegExp][] = [
    ['<html><body>Login</body></html>', 'MANIFEST_INVALID', /HTML/],
    ['{', 'MANIFEST_INVALID', /not JSON/],
    [[], 'MANIFEST_INVALID', /./],
    [{ schemaVersion: 2 }, 'MANIFEST_INVALID', /neither/],
    [{ ...image, manifests: [blob] }, 'MANIFEST_INVALID', /image and an index at once/],
    [{ ...image, layers: [{ ...blob, size: -1 }] }, 'MANIFEST_INVALID', /size/],
    [{ ...image, layers: [{ ...blob, digest: 'sha256:..' }] }, 'DIGEST_INVALID', /digest/],
    [{ schemaVersion: 1, fsLayers: [] }, 'UNSUPPORTED', /schema 1/],
    [{ ...image, mediaType: 'application/vnd.unknown+json' }, 'UNSUPPORTED', /not known/],
    [`{"a":"${'x'.repeat(maxManifestBytes)}"}`, 'MANIFEST_INVALID', /larger/],
  ]
  for (const [value, code, message] of cases) t.throws(() => parseManifest(bytes(value)), { code, message })
  t.throws(() => parseManifest(bytes(image), mediaTypes.ociIndex), { code: 'MANIFEST_INVALID', message: /was sent as/ })
})
