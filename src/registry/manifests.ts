/** Pulling manifests: what a tag is now, and a manifest's verified bytes. OCI distribution-spec, "Pulling manifests". */
import type { Descriptor } from '../oci/descriptor.ts'
import { algorithmOf, type Digest, digestOf, isDigest, shortDigest } from '../oci/digest.ts'
import { ImageError } from '../oci/errors.ts'
import { maxManifestBytes, parseManifest, type RawManifest, rawManifest } from '../oci/manifest.ts'
import { isManifestType, isSchema1, manifestAccept } from '../oci/media-types.ts'
import type { Answer } from './answer.ts'
import type { Ask, Transport } from './transport.ts'

/** What the tag or digest is now: one HEAD, and a GET where the HEAD doesn't say enough. */
export async function resolveManifest(
  transport: Transport,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  const ask = manifestAsk('HEAD', repository, reference, `resolve ${named(repository, reference)}`, signal)
  // 400, 405 and 501: registries and caches that don't know HEAD here.
  const answer = await transport.send({ ...ask, expect: [200, 400, 405, 501] })
  await answer.discard()
  const descriptor = answer.status === 200 ? describe(transport, answer, reference, ask.doing) : undefined
  return descriptor ?? (await fetchManifest(transport, repository, reference, signal)).descriptor
}

/**
 * A manifest's bytes, verified against the digest that was asked for, or for a tag against the one the registry names.
 * @throws ImageError `MANIFEST_INVALID`, `UNSUPPORTED`, `DIGEST_MISMATCH`, and what {@link Transport.send} throws.
 */
export async function fetchManifest(
  transport: Transport,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<RawManifest> {
  const ask = manifestAsk('GET', repository, reference, `fetch manifest ${named(repository, reference)}`, signal)
  return await readManifest(transport, await transport.send(ask), reference, ask.doing)
}

/** The manifest if it is there; undefined for a 404. */
export async function findManifest(
  transport: Transport,
  repository: string,
  reference: string,
  signal: AbortSignal,
): Promise<RawManifest | undefined> {
  const ask = manifestAsk('GET', repository, reference, `look for manifest ${named(repository, reference)}`, signal)
  const answer = await transport.send({ ...ask, expect: [200, 404] })
  if (answer.status === 200) return await readManifest(transport, answer, reference, ask.doing)
  await answer.discard()
  return undefined
}

/** Whether the repository has the manifest. */
export async function hasManifest(
  transport: Transport,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  const ask = manifestAsk('HEAD', repository, digest, `look for manifest ${named(repository, digest)}`, signal)
  const answer = await transport.send({ ...ask, expect: [200, 404, 405] })
  await answer.discard()
  if (answer.status === 405) return (await findManifest(transport, repository, digest, signal)) !== undefined
  return answer.status === 200
}

function manifestAsk(
  method: 'GET' | 'HEAD',
  repository: string,
  reference: string,
  doing: string,
  signal: AbortSignal,
): Ask {
  return {
    method,
    url: `/v2/${repository}/manifests/${reference}`,
    headers: { accept: manifestAccept },
    scopes: [`repository:${repository}:pull`],
    subject: 'manifest',
    doing,
    expect: [200],
    signal,
  }
}

/** What a HEAD says, or undefined if it leaves something out that only the content can tell. */
function describe(transport: Transport, answer: Answer, reference: string, doing: string): Descriptor | undefined {
  const mediaType = answer.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (isSchema1(mediaType)) {
    throw transport.error(
      'UNSUPPORTED',
      'Docker schema 1 manifests are not taken: their content can not be verified',
      doing,
    )
  }
  const digest = namedDigest(transport, answer, reference, doing)
  // Proxies that compress, or know no length for a HEAD, leave it out or send 0.
  const size = answer.header('content-encoding') === undefined ? answer.length : undefined
  return digest === undefined || !size || !isManifestType(mediaType) ? undefined : { mediaType, digest, size }
}

/** The digest that the answer names. A canonical one of another algorithm than was asked for says nothing about the one asked for. */
function namedDigest(transport: Transport, answer: Answer, reference: string, doing: string): Digest | undefined {
  const sent = answer.header('docker-content-digest')?.trim() ?? ''
  const digest = isDigest(sent) ? sent : undefined
  if (!isDigest(reference) || digest === undefined) return digest
  if (algorithmOf(digest) !== algorithmOf(reference)) return undefined
  if (digest === reference) return digest
  throw transport.error('DIGEST_MISMATCH', `asked for ${reference}, the registry names ${digest}`, doing)
}

async function readManifest(
  transport: Transport,
  answer: Answer,
  reference: string,
  doing: string,
): Promise<RawManifest> {
  answer.refuseEncoding()
  const bytes = await answer.read(maxManifestBytes)
  if (bytes === undefined) {
    throw transport.error('MANIFEST_INVALID', `the manifest is larger than ${maxManifestBytes} bytes`, doing)
  }
  const expected = isDigest(reference) ? reference : namedDigest(transport, answer, reference, doing)
  const digest = digestOf(bytes, expected === undefined ? 'sha256' : algorithmOf(expected))
  if (expected !== undefined && digest !== expected) {
    const what = startsLikeHtml(bytes) ? 'a web page' : `content with digest ${digest}`
    throw transport.error('DIGEST_MISMATCH', `expected the manifest ${expected}, got ${what}`, doing)
  }
  return rawManifest(bytes, mediaTypeOf(transport, bytes, answer, doing), digest)
}

function mediaTypeOf(transport: Transport, bytes: Uint8Array, answer: Answer, doing: string): string {
  try {
    return parseManifest(bytes, answer.header('content-type')).mediaType
  } catch (error) {
    if (!(error instanceof ImageError)) throw error
    throw transport.error(error.code, error.message, doing, error.hint)
  }
}

function startsLikeHtml(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 64)).toString('latin1').trimStart().startsWith('<')
}

function named(repository: string, reference: string): string {
  return isDigest(reference) ? `${shortDigest(reference)} of ${repository}` : `${repository}:${reference}`
}
