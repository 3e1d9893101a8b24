/**
 * What the network threw, as an ImageError: DNS, TLS, refusal, silence. Used where requests are sent and bodies are read.
 * The codes are those of Node, OpenSSL, undici and wire/; messages are never looked at, but for plain http behind https, which has no code of its own.
 */
import { type ErrorCode, ImageError, type Side } from '../oci/errors.ts'
import { redactUrl } from './redact.ts'

/** What was being done, for errors. */
export interface Doing {
  /** `fetch blob sha256:0123… of mecm/web`. */
  readonly doing: string
  readonly side: Side
  /** Something has come already: a redirect, a challenge, an answer's head. What fails after it is not all that is silent. */
  readonly answered?: boolean
}

const byCode: Readonly<Record<string, ErrorCode>> = {
  ENOTFOUND: 'DNS',
  EAI_AGAIN: 'DNS',
  EAI_FAIL: 'DNS',
  EAI_NODATA: 'DNS',
  EAI_NONAME: 'DNS',
  ETIMEDOUT: 'TIMEOUT',
  UND_ERR_CONNECT_TIMEOUT: 'TIMEOUT',
  UND_ERR_HEADERS_TIMEOUT: 'TIMEOUT',
  UND_ERR_BODY_TIMEOUT: 'STALLED',
  UND_ERR_HEADERS_OVERFLOW: 'UNAVAILABLE',
  WIRE_CONNECT_TIMEOUT: 'TIMEOUT',
  WIRE_ANSWER_TIMEOUT: 'TIMEOUT',
  WIRE_STALLED: 'STALLED',
  EPROTO: 'TLS',
}
const unreachable = /^(?:ECONN|EHOST|ENET|EPIPE|EADDRNOTAVAIL|WIRE_|UND_ERR_|HPE_)/
const tlsCode =
  /^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/

/** The failure of a request to `url` that never got an answer, or whose answer broke off. An ImageError is returned as it is. */
export function networkFailure(error: unknown, url: URL, about: Doing): ImageError {
  if (error instanceof ImageError) return error
  const systemCode = codeOf(error)
  const code = classify(error, systemCode)
  const reason = error instanceof Error && error.message !== '' ? error.message : systemCode || String(error)
  const hint = hintFor(error, systemCode, url)
  return new ImageError(code, `${redactUrl(url)}: ${reason}`, {
    cause: error,
    ...about,
    host: url.host,
    answered: about.answered === true || isReached(error),
    ...(hint === undefined ? {} : { hint }),
  })
}

/** Whether the failure itself is a sign of life: who refuses, is not trusted, or says what isn't HTTP, was reached. */
export function isReached(error: unknown): boolean {
  const systemCode = codeOf(error)
  return systemCode === 'ECONNREFUSED' || classify(error, systemCode) === 'TLS' || isGarbled(error)
}

/**
 * Whether the other side closed the connection before it answered, as happens to a kept-alive one that it gave up meanwhile, or
 * left on it what is no answer, as a body after a HEAD.
 */
export function isSpoiltConnection(error: unknown): boolean {
  return ['WIRE_CLOSED', 'UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error)) || isGarbled(error)
}

function classify(error: unknown, systemCode: string): ErrorCode {
  const known = byCode[systemCode]
  if (known !== undefined) return known
  if (tlsCode.test(systemCode)) return 'TLS'
  return unreachable.test(systemCode) || isGarbled(error) || isConnecting(error) ? 'UNAVAILABLE' : 'INTERNAL'
}

function hintFor(error: unknown, systemCode: string, url: URL): string | undefined {
  if (systemCode === 'ERR_SSL_WRONG_VERSION_NUMBER' || systemCode === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return `${url.host} does not speak https on this port. If it is meant to be reached by plain http, set \`plainHttp: true\` for it.`
  }
  if (systemCode === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `The certificate is for another name than ${url.hostname}. Use the name that it is for, or correct the certificate.`
  }
  if (systemCode === 'CERT_HAS_EXPIRED' || systemCode === 'CERT_NOT_YET_VALID') {
    return `The certificate of ${url.host} is out of its dates. Renew it, and check this machine's clock.`
  }
  if (isGarbled(error)) {
    return `${url.host} does not answer in HTTP. If it expects https, remove \`plainHttp\` for it.`
  }
  return undefined
}

/** A firewall's EACCES and EPERM, and whatever else connect(2) has to say. */
function isConnecting(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'connect'
}

/** undici's parser gives a code for some of what isn't HTTP, and a name for all of it. */
function isGarbled(error: unknown): boolean {
  return error instanceof Error && (error.name === 'HTTPParserError' || codeOf(error) === 'WIRE_GARBLED')
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const own = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (own !== '') return own
  return error.cause === undefined ? '' : codeOf(error.cause)
}
