/** Docker Hub: its many names, official images without their `library/`, its listing at another host, and how many pulls are left. */
import { type Static, Type } from 'typebox'
import { Check } from 'typebox/value'
import { ImageError } from '../../oci/errors.ts'
import { listPlainTags } from './other.ts'
import type { NameQuery, Provider, ProviderHost } from './provider.ts'

const names = new Set([
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'hub.docker.com',
  'registry.hub.docker.com',
])
const listingHost = 'hub.docker.com'
/** Docker's own: a HEAD of it tells the limit and counts as no pull. */
const limitProbe = { repository: 'ratelimitpreview/test', tag: 'latest' }
const pageSize = 100
const maxPages = 20

const Repositories = Type.Object({
  next: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  results: Type.Array(Type.Object({ name: Type.Optional(Type.String()), repo_name: Type.Optional(Type.String()) })),
})

export const dockerhub: Provider = {
  name: 'dockerhub',

  registryHost: domain => (names.has(domain) ? 'docker.io' : domain),

  sourcePath: path => (path.includes('/') ? path : `library/${path}`),

  async inspect(host, signal) {
    const { header } = await host.headManifest(limitProbe.repository, limitProbe.tag, signal)
    const [limit, left] = [readLimit(header('ratelimit-limit')), readLimit(header('ratelimit-remaining'))]
    if (limit === undefined || left === undefined) return []
    const period = limit.seconds === undefined ? '' : ` of each ${Math.round(limit.seconds / 3600)} h`
    return [`${left.count} of the ${limit.count} pulls${period} are left`]
  },

  async listRepositories(host, query) {
    const { search } = query
    const slash = search.indexOf('/')
    if (slash > 0) return await listNamespace(host, search.slice(0, slash), query)
    if (search === '') return await listNamespace(host, host.username ?? 'library', query)
    const found = await gather(host, `/v2/search/repositories/?query=${encodeURIComponent(search)}`, query)
    return found.map(({ repo_name: name = '' }) => name).map(name => (name.includes('/') ? name : `library/${name}`))
  },

  async listTags(host, path, query) {
    return await listPlainTags(host, path.includes('/') ? path : `library/${path}`, query)
  },
}

async function listNamespace(host: ProviderHost, namespace: string, query: NameQuery): Promise<readonly string[]> {
  const found = await gather(host, `/v2/namespaces/${encodeURIComponent(namespace)}/repositories?`, query)
  return found.map(({ name }) => `${namespace}/${name ?? ''}`).filter(name => name.includes(query.search))
}

async function gather(host: ProviderHost, list: string, { limit, signal }: NameQuery) {
  const found: Static<typeof Repositories>['results'] = []
  for (let page = 1; page <= maxPages && found.length < limit; page++) {
    const path = `${list}${list.endsWith('?') ? '' : '&'}page=${page}&page_size=${pageSize}`
    const answer = await host.getElsewhere(listingHost, { path, doing: 'list repositories of Docker Hub', signal })
    if (!Check(Repositories, answer.document)) {
      throw new ImageError('UNSUPPORTED', 'Docker Hub answered with something else than a list', { side: 'upstream' })
    }
    found.push(...answer.document.results)
    if (!answer.document.next) break
  }
  return found.slice(0, limit)
}

/** `100;w=21600`. */
function readLimit(value: string | undefined): { count: number; seconds?: number } | undefined {
  const parts = /^(\d{1,9})(?:;w=(\d{1,9}))?$/.exec(value?.trim() ?? '')
  if (parts === null) return undefined
  return { count: Number(parts[1]), ...(parts[2] === undefined ? {} : { seconds: Number(parts[2]) }) }
}
