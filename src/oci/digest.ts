/**
 * Digests: the content addresses by which everything is asked for, stored and verified. Used by every room.
 * OCI image-spec, descriptor.md, "Digests".
 */
import { createHash, type Hash } from 'node:crypto'
import { ImageError } from './errors.ts'

declare const digestBrand: unique symbol

/** `sha256:<64 hex>` or `sha512:<128 hex>`, lower case. Only {@link parseDigest} and {@link digestOf} make one. */
export type Digest = string & { readonly [digestBrand]: true }

/** The algorithms that the image specification registers and that we verify. */
export type DigestAlgorithm = 'sha256' | 'sha512'

const hexLength: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 }

/** Whether `text` is a digest that this agent can verify. */
export function isDigest(text: string): text is Digest {
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(text)
  return match !== null && match[2]?.length === hexLength[match[1] as DigestAlgorithm]
}

/**
 * Checks a digest that comes from outside.
 * @throws ImageError `UNSUPPORTED` for an algorithm we can't verify, `DIGEST_INVALID` for anything else.
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  if (/^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+$/.test(text) && !/^sha(256|512):/.test(text)) {
    throw new ImageError('UNSUPPORTED', `the digest algorithm of "${clip(text)}" is not sha256 or sha512`)
  }
  throw new ImageError(
    'DIGEST_INVALID',
    `"${clip(text)}" is not a digest: expected sha256:<64 hex> or sha512:<128 hex>`,
  )
}

/** The algorithm's name, as `node:crypto` and the layout's folders call it. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** The hexadecimal part alone. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** A running hash for content that should turn out to be `digest`. */
export function hasherFor(digest: Digest): Hash {
  return createHash(algorithmOf(digest))
}

/** Whether a finished hash is `digest`; consumes the hash. */
export function digestMatches(digest: Digest, hash: Hash): boolean {
  return hash.digest('hex') === hexOf(digest)
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}

/** `sha256:0123456789ab`: enough for people. */
export function shortDigest(digest: Digest): string {
  return `${algorithmOf(digest)}:${hexOf(digest).slice(0, 12)}`
}

function clip(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}
