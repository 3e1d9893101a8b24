/**
 * Keeps web pages from using an API that listens on loopback only. Such an API trusts whoever reaches it, and the browser of
 * somebody on this machine reaches it on behalf of any page: directly (a form that posts to 127.0.0.1), or by a host name of the
 * page's own that is made to resolve to 127.0.0.1 (DNS rebinding). Programs send no Origin and are not concerned.
 */
import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../listener.ts'
import { ApiError } from './api-error.ts'

/** Refuses requests under /v1/ and /oapis/ that come from a page of another origin, or were sent to a name that could be anybody's. */
export function refuseForeignPages(app: FastifyInstance): void {
  app.addHook('onRequest', async request => {
    // By the route that was found, not by the URL as written: `/%761/plans` finds the same one.
    const { url = '' } = request.routeOptions
    if (!url.startsWith('/v1/') && !url.startsWith('/oapis/')) return
    const host = request.headers.host ?? ''
    if (!isOwnName(hostNameOf(`http://${host}`))) {
      throw new ApiError(403, 'CROSS_ORIGIN', 'this API listens on loopback: ask it by 127.0.0.1 or localhost')
    }
    const { origin } = request.headers
    if (origin === undefined || request.method === 'GET' || request.method === 'HEAD') return
    if (!isLoopback(hostNameOf(origin)) || !origin.endsWith(`//${host}`)) {
      throw new ApiError(403, 'CROSS_ORIGIN', 'a web page of another origin may not change anything here')
    }
  })
}

/** An address, or a name without a dot: neither can belong to a page from elsewhere. */
function isOwnName(name: string): boolean {
  return isIP(name) !== 0 || (name !== '' && !name.includes('.'))
}

function hostNameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : ''
}
