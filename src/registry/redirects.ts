/** One request, followed through redirects. Credentials stay with the origin they are for. RFC 9110, 15.4. */
import { ImageError } from '../oci/errors.ts'
import type { Answer } from './answer.ts'
import type { Connections, HostOptions, WireRequest } from './connections.ts'
import { redactUrl } from './redact.ts'

const redirectStatuses = new Set([301, 302, 303, 307, 308])
const maxRedirects = 5

/**
 * Sends a request and follows at most five redirects. `authorization` goes to the first origin only; once a redirect has left that
 * origin it is not sent again, not even on the way back, because the address was then chosen by somebody else.
 * @throws ImageError `REDIRECT` for a loop, too many, from https to http, or where following would change what is asked.
 */
export async function sendFollowing(
  connections: Connections,
  owner: HostOptions,
  request: WireRequest,
  authorization: string | undefined,
): Promise<Answer> {
  const origin = request.url.origin
  const seen = new Set<string>()
  let { url, about } = request
  let strayed = false
  for (;;) {
    seen.add(url.href)
    const proof: Record<string, string> = strayed || authorization === undefined ? {} : { authorization }
    const answer = await connections.send(
      { ...request, url, about, headers: { ...request.headers, ...proof } },
      owner,
      strayed,
    )
    const location = answer.header('location')
    if (!redirectStatuses.has(answer.status) || location === undefined) return answer
    await answer.discard()
    about = { ...about, answered: true }
    url = nextUrl(location, url, request)
    if (seen.has(url.href)) throw refuse(request, url, 'it redirects in a circle')
    if (seen.size > maxRedirects) throw refuse(request, url, `it redirects more than ${maxRedirects} times`)
    if (answer.status <= 303 && request.method !== 'GET' && request.method !== 'HEAD') {
      throw refuse(request, url, `it answers ${request.method} by a redirect with status ${answer.status}`)
    }
    strayed ||= url.origin !== origin
  }
}

function nextUrl(location: string, from: URL, request: WireRequest): URL {
  const url = URL.parse(location, from.href)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw refuse(request, from, 'it redirects to an address that is not http or https')
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    throw refuse(request, url, 'it redirects from https to plain http')
  }
  url.username = ''
  url.password = ''
  url.hash = ''
  return url
}

function refuse(request: WireRequest, url: URL, why: string): ImageError {
  const message = `${request.url.host}: ${why} (last: ${redactUrl(url)})`
  return new ImageError('REDIRECT', message, { ...request.about, host: request.url.host })
}
