/**
 * Why there is no link to the broker, or not a whole one: the one error of this room, in words for operators.
 */

export type LinkErrorCode =
  | 'address'
  | 'files'
  | 'dns'
  | 'refused'
  | 'unreachable'
  | 'timeout'
  | 'tls'
  | 'version'
  | 'credentials'
  | 'client-id'
  | 'taken-over'
  | 'short-lived'
  | 'unsuitable'
  | 'busy'
  | 'closed'
  | 'silent'
  | 'protocol'
  | 'not-stored'
  | 'forbidden'
  | 'too-large'
  | 'stopped'
  | 'other'

/** Failures that only a person can mend: tried on, but slowly. */
const slowCodes: ReadonlySet<LinkErrorCode> = new Set([
  'address',
  'files',
  'tls',
  'credentials',
  'client-id',
  'taken-over',
  'unsuitable',
])

export class LinkError extends Error {
  override readonly name = 'LinkError'
  readonly code: LinkErrorCode

  constructor(code: LinkErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }

  /** For logs: the code, and the words of the original. Not the original itself: TLS errors carry whole certificates. */
  get fields(): { readonly code: LinkErrorCode; readonly cause: string | undefined } {
    return { code: this.code, cause: this.cause instanceof Error ? this.cause.message : undefined }
  }

  /** Whether another try soon is pointless. */
  get slow(): boolean {
    return slowCodes.has(this.code)
  }
}

/** Any error of a connection to `address` (`host:port`) in plain words. The cause keeps the original. */
export function toLinkError(error: unknown, address: string): LinkError {
  if (error instanceof LinkError) return error
  const code = codeOf(error)
  if (typeof code === 'number') return fromReason(code, address, error)
  const message = error instanceof Error ? error.message : String(error)
  if (message === 'Keepalive timeout') {
    return new LinkError('silent', `${address} stopped answering; the link or the broker is down`, error)
  }
  if (message === 'connack timeout') {
    return new LinkError('timeout', `${address} did not answer in time; check the link, the host and the port`, error)
  }
  return fromSystem(code, address, error) ?? new LinkError('other', `${address}: ${message}`, error)
}

/** A reason code of MQTT 5, or a return code of 3.1.1's CONNACK (1 to 5). MQTT 5.0, section 2.4. */
function fromReason(reason: number, address: string, cause: unknown): LinkError {
  const fail = (code: LinkErrorCode, message: string) => new LinkError(code, message, cause)
  switch (reason) {
    case 0:
      return fail('closed', `${address} closed the connection`)
    case 1:
    case 132:
      return fail('version', `${address} does not speak this version of MQTT`)
    case 2:
    case 133:
      return fail('client-id', `${address} does not accept our client id; check \`agent.id\` and the broker's rules`)
    case 4:
    case 134:
    case 140:
      return fail(
        'credentials',
        `${address} refuses the user name or password; check \`mqtt.username\` and its password`,
      )
    case 5:
    case 135:
    case 138:
      return fail(
        'credentials',
        `${address} does not authorize us; check \`mqtt.username\`, its password and the broker's rules`,
      )
    case 3:
    case 136:
    case 137:
    case 139:
    case 151:
    case 159:
      return fail('busy', `${address} is not available now (reason ${reason}); it is tried again by itself`)
    case 142:
      return fail(
        'taken-over',
        `another client took our place at ${address}: is there a second agent with the same \`agent.id\`?`,
      )
    case 149:
      return fail('too-large', `${address} does not take packets of this size; raise the broker's limit`)
    case 154:
    case 155:
      return fail('unsuitable', `${address} lacks what the agent needs: retained messages and QoS 1`)
    default:
      return fail('protocol', `${address} ended the connection with reason code ${reason}`)
  }
}

function fromSystem(code: string | undefined, address: string, cause: unknown): LinkError | undefined {
  const fail = (kind: LinkErrorCode, message: string) => new LinkError(kind, message, cause)
  switch (code) {
    case undefined:
      return undefined
    case 'ECONNREFUSED':
      return fail('refused', `${address} refuses the connection: does the broker run there, and is the port right?`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return fail('dns', `the name in ${address} can not be resolved; check the name and the resolver`)
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
    case 'ENETDOWN':
    case 'EADDRNOTAVAIL':
      return fail('unreachable', `there is no way to ${address} (${code}); check the link`)
    case 'ETIMEDOUT':
      return fail('timeout', `${address} did not answer in time; check the link, the host and the port`)
    case 'ECONNRESET':
    case 'EPIPE':
      return fail('closed', `${address} cut the connection (${code})`)
    default:
      return isTlsCode(code) ? fail('tls', `TLS with ${address} failed: ${tlsAdvice(code)}`) : undefined
  }
}

function isTlsCode(code: string): boolean {
  return /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|EPROTO|HOSTNAME_MISMATCH|INVALID_CA)/.test(
    code,
  )
}

function tlsAdvice(code: string): string {
  switch (code) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `the broker's certificate is not signed by a known CA; set \`mqtt.caFile\` (${code})`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the broker's certificate is for another host name (${code})`
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return `the broker's certificate is not valid at this time; check the site's clock, too (${code})`
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return `the broker does not speak TLS on this port, or no version that we do (${code})`
    default:
      return /ALERT|CERTIFICATE_REQUIRED/.test(code)
        ? `the broker refuses our certificate, or wants one; check \`mqtt.certFile\` and \`mqtt.keyFile\` (${code})`
        : code
  }
}

function codeOf(error: unknown): string | number | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' || typeof error.code === 'number' ? error.code : undefined
}
