/**
 * Signed documents: a JWS (RFC 7515), compact or flattened JSON, whose signature one of the site's trusted keys confirms. Used by
 * plans/payload.ts; the keys' files are checked by the configuration.
 * Checked with node:crypto since that answers at once: a plan is on disk before its message is acknowledged. Plan contract, "The plan".
 */
import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto'

/** The algorithms that are taken. Nothing symmetric, and never `none`: with those, whoever can read a key could sign. */
export type SigningAlgorithm = 'EdDSA' | 'ES256' | 'RS256' | 'PS256'

export interface TrustedKey {
  readonly key: KeyObject
  /** What the key may be used with; a signature's own word for its algorithm is only believed within this. */
  readonly algorithms: readonly SigningAlgorithm[]
  /** A JWK's `kid`. */
  readonly id: string | undefined
}

/** The parts of a JWS, still encoded. */
export interface Jws {
  readonly protected: string
  readonly payload: string
  readonly signature: string
}

/** What a trusted signature covers, or why it is not trusted. */
export type Verification =
  | { readonly kind: 'trusted'; readonly payload: Buffer }
  | { readonly kind: 'untrusted'; readonly problem: string }

const leastRsaBits = 2048
const encoded = /^[A-Za-z0-9_-]+$/

/**
 * The keys of a file: PEM (a public key or a certificate), a JWK, or a JWK set.
 * @throws Error saying what is wrong with the file; it never repeats the file's content.
 */
export function readTrustedKeys(text: string): TrustedKey[] {
  if (!text.trimStart().startsWith('{')) {
    if (/PRIVATE KEY/.test(text)) throw new Error('this is a private key: give the public one, and keep this one away')
    return [
      trust(
        parseKey(() => createPublicKey(text)),
        {},
      ),
    ]
  }
  const value = parseJson(text)
  if (!isObject(value)) throw new Error('expected PEM, a JWK or a JWK set')
  const keys = Array.isArray(value.keys) ? value.keys : [value]
  if (keys.length === 0) throw new Error('the set holds no key')
  return keys.map(readJwk)
}

/** The parts of a compact JWS; undefined for any other text. */
export function readCompactJws(text: string): Jws | undefined {
  const [header, payload, signature, ...more] = text.trim().split('.')
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0) return undefined
  const isEncoded = [payload, signature].every(part => part === '' || encoded.test(part))
  if (!header.startsWith('eyJ') || !encoded.test(header) || !isEncoded) return undefined
  return { protected: header, payload, signature }
}

/** The parts of a flattened JSON JWS; undefined for any other value. What stands in its unprotected `header` is not signed, and not read. */
export function readFlattenedJws(value: unknown): Jws | undefined {
  if (!isObject(value) || !('payload' in value) || !('signature' in value)) return undefined
  const { protected: header, payload, signature } = value
  const asText = (part: unknown) => (typeof part === 'string' ? part : '')
  return { protected: asText(header), payload: asText(payload), signature: asText(signature) }
}

/** Checks a signature against the keys that may have made it. */
export function verifyJws(jws: Jws, keys: readonly TrustedKey[]): Verification {
  if (![jws.protected, jws.payload, jws.signature].every(part => encoded.test(part))) {
    return untrusted('the signed plan has no protected header, payload or signature in base64url')
  }
  const header = parseJson(Buffer.from(jws.protected, 'base64url').toString('utf8'))
  if (!isObject(header)) return untrusted('the protected header of the signed plan is no JSON object')
  const algorithm = algorithmOf(header.alg)
  if (algorithm === undefined) return untrusted('its algorithm is none of EdDSA, ES256, RS256 and PS256')
  // RFC 7515, 4.1.11: extensions that are critical and not understood; among them, payloads that are not encoded
  if ('crit' in header) return untrusted('its header demands extensions ("crit") that this agent does not know')
  const { kid } = header
  const named = keys.filter(({ id }) => id !== undefined && id === kid)
  const candidates = (named.length > 0 ? named : keys).filter(({ algorithms }) => algorithms.includes(algorithm))
  const signed = Buffer.from(`${jws.protected}.${jws.payload}`, 'ascii')
  const signature = Buffer.from(jws.signature, 'base64url')
  if (candidates.some(({ key }) => confirms(key, algorithm, signed, signature))) {
    return { kind: 'trusted', payload: Buffer.from(jws.payload, 'base64url') }
  }
  return untrusted('none of the trusted keys confirms its signature')
}

function confirms(key: KeyObject, algorithm: SigningAlgorithm, signed: Buffer, signature: Buffer): boolean {
  switch (algorithm) {
    case 'EdDSA':
      return verify(null, signed, key, signature)
    case 'ES256':
      return verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
    case 'RS256':
      return verify('sha256', signed, { key, padding: constants.RSA_PKCS1_PADDING }, signature)
    case 'PS256':
      return verify('sha256', signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature)
  }
}

function readJwk(value: unknown): TrustedKey {
  if (!isObject(value)) throw new Error('a key of the set is no object')
  const { kty, use, alg, kid } = value
  if (kty === 'oct') throw new Error('a symmetric key can not tell who has signed: give a public key')
  if ('d' in value) throw new Error('this is a private key: give the public one, and keep this one away')
  if (use !== undefined && use !== 'sig') throw new Error('the key is not for signatures ("use")')
  const key = parseKey(() => createPublicKey({ key: value, format: 'jwk' }))
  return trust(key, { alg, id: typeof kid === 'string' ? kid : undefined })
}

function trust(key: KeyObject, { alg, id }: { alg?: unknown; id?: string | undefined }): TrustedKey {
  const fitting = algorithmsOf(key)
  const algorithms = alg === undefined ? fitting : fitting.filter(each => each === algorithmOf(alg))
  if (algorithms.length > 0) return { key, algorithms, id }
  throw new Error('expected a key for EdDSA (Ed25519), ES256 (P-256), or RS256 and PS256 (RSA of 2048 bits or more)')
}

function algorithmsOf(key: KeyObject): SigningAlgorithm[] {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ed25519') return ['EdDSA']
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return ['ES256']
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= leastRsaBits) return ['RS256', 'PS256']
  return []
}

function algorithmOf(alg: unknown): SigningAlgorithm | undefined {
  if (alg === 'Ed25519') return 'EdDSA' // RFC 9864 gives the one curve of EdDSA that is taken here its own name
  return alg === 'EdDSA' || alg === 'ES256' || alg === 'RS256' || alg === 'PS256' ? alg : undefined
}

function parseKey(parse: () => KeyObject): KeyObject {
  try {
    return parse()
  } catch {
    throw new Error('this is no public key in PEM or JWK form')
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function untrusted(problem: string): Verification {
  return { kind: 'untrusted', problem }
}
