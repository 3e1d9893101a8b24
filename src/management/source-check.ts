/** Whether a source lets us in, in plain words: name, connection, certificate, registry, credentials. Used by Sources. */
import { type ErrorCode, errorCodes, ImageError, toImageError } from '../oci/errors.ts'
import type { SourceAccess } from './source-access.ts'

export interface CheckResult {
  readonly success: boolean
  readonly message: string
  /** From the request to its answer; absent where nothing answered. */
  readonly latencyMs?: number
  /** What went wrong. */
  readonly code?: ErrorCode
}

/** What stands in the way when a registry is not reached: a failed connection, not a refusal. */
export const connectionCodes: ReadonlySet<ErrorCode> = new Set(['DNS', 'TLS', 'UNAVAILABLE', 'TIMEOUT', 'STALLED'])

/**
 * Asks the registry who it is, then whether it takes the credentials, then its provider what else is worth knowing. A failure is an answer.
 * @throws the signal's reason, and nothing else.
 */
export async function checkSource(access: SourceAccess, signal: AbortSignal): Promise<CheckResult> {
  let latencyMs: number | undefined
  try {
    const began = performance.now()
    const isOpen = await knock(access, signal)
    latencyMs = Math.max(1, Math.round(performance.now() - began))
    const login = await logIn(access, isOpen, signal)
    const notes = await inspect(access, signal)
    const message = [`${access.domain} answers in ${latencyMs} ms and ${login}`, ...notes].join('; ')
    return { success: true, message, latencyMs }
  } catch (thrown) {
    signal.throwIfAborted()
    const error = toImageError(thrown)
    const time = latencyMs === undefined ? {} : { latencyMs }
    return { success: false, message: explain(access, error), code: error.code, ...time }
  }
}

/** Whether it lets everybody in. @throws ImageError `UNSUPPORTED` for something that is no registry. */
async function knock(access: SourceAccess, signal: AbortSignal): Promise<boolean> {
  const doing = `ask ${access.domain} whether it is a registry`
  const answer = await access.getAnonymously({ path: '/v2/', doing, expect: [200, 401, 403, 404], signal })
  const isOpen = answer.status === 200 && (answer.document !== undefined || saysRegistry(answer))
  const isClosed = answer.status === 401 && answer.header('www-authenticate') !== undefined
  if (isOpen || isClosed) return isOpen
  throw new ImageError('UNSUPPORTED', `/v2/ answered ${answer.status}`, {
    side: 'upstream',
    host: access.domain,
    doing,
  })
}

function saysRegistry({ header }: { header(name: string): string | undefined }): boolean {
  return header('docker-distribution-api-version') !== undefined || header('content-length') === '0'
}

/** What the registry makes of the credentials. @throws ImageError `UNAUTHORIZED`, `DENIED`. */
async function logIn(access: SourceAccess, isOpen: boolean, signal: AbortSignal): Promise<string> {
  if (access.username === undefined) {
    if (!isOpen) await access.registry.ping(signal)
    return 'lets us in without credentials'
  }
  if (!isOpen) {
    await access.registry.ping(signal)
    return `accepts the user ${access.username}`
  }
  // It asks nobody who he is: shown the credentials all the same, one that knows users says when they are wrong.
  await access.get({ path: '/v2/', doing: 'show the credentials', signal })
  return `lets everybody read; whether it knows the user ${access.username} it does not say`
}

async function inspect(access: SourceAccess, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await access.provider.inspect(access, signal)
  } catch (error) {
    signal.throwIfAborted()
    return [`the provider ${access.provider.name} could not look further (${toImageError(error).code})`]
  }
}

const words: Partial<Record<ErrorCode, (domain: string, access: SourceAccess) => string>> = {
  DNS: domain => `no such host: the name ${domain} can not be resolved; check the domain and this machine's DNS`,
  TLS: domain => `no trust in the connection to ${domain}`,
  UNAVAILABLE: domain => `${domain} does not answer; check the domain, the port and the link`,
  TIMEOUT: domain => `${domain} took too long to answer; check the domain, the port and the link`,
  STALLED: domain => `${domain} stopped in the middle of its answer`,
  UNAUTHORIZED: (domain, { username }) =>
    username === undefined
      ? `${domain} wants credentials, and none were given`
      : `wrong credentials: ${domain} refuses the user name or the password of ${username}`,
  DENIED: (domain, { username = 'anonymous' }) => `${domain} knows the user ${username}, but does not let it in`,
  TOOMANYREQUESTS: domain => `${domain} limits requests; try again later`,
  UNSUPPORTED: domain =>
    `not a registry: ${domain} answers, but not as the distribution API says; check the domain and the port`,
  REDIRECT: domain => `${domain} redirects to where a registry is not followed`,
}

const generic = errorCodes.TLS.hint

/** `words`, then what the system said, and what to do. */
function explain(access: SourceAccess, error: ImageError): string {
  const say = words[error.code]
  const advice = connectionCodes.has(error.code) ? access.provider.advise(access.domain) : undefined
  const lead = say?.(access.domain, access) ?? `${access.domain}: ${error.code}`
  const hint = error.code === 'TLS' ? error.hint : undefined
  // What the system says helps where nothing better is known.
  const isKnown = error.code === 'UNAUTHORIZED' || error.code === 'UNSUPPORTED' || (hint ?? generic) !== generic
  const detail = isKnown
    ? ''
    : ` (${error.message
        .replace(/\p{Cc}+/gu, ' ')
        .trim()
        .slice(0, 300)})`
  return [`${lead}${detail}`, hint, advice].filter(part => part !== undefined).join('. ')
}
