/** Harbor, by its own API: projects, their repositories, artifacts with tags and dates, health. Harbor API 2.0 (goharbor, api/v2.0/swagger.yaml). */
import { type Static, type TSchema, Type } from 'typebox'
import { Check } from 'typebox/value'
import { ImageError } from '../../oci/errors.ts'
import { listCatalog, listPlainTags } from './other.ts'
import type { NameQuery, Provider, ProviderHost, SourceTag } from './provider.ts'

/** The most that Harbor gives on one page. */
const pageSize = 100
const maxPages = 200

const Health = Type.Object({
  status: Type.String(),
  components: Type.Optional(Type.Array(Type.Object({ name: Type.String(), status: Type.String() }))),
})
const Projects = Type.Array(Type.Object({ name: Type.String() }))
const Repositories = Type.Array(Type.Object({ name: Type.String() }))
const Artifacts = Type.Array(
  Type.Object({
    push_time: Type.Optional(Type.String()),
    tags: Type.Optional(
      Type.Union([
        Type.Array(Type.Object({ name: Type.String(), push_time: Type.Optional(Type.String()) })),
        Type.Null(),
      ]),
    ),
  }),
)

export const harbor: Provider = {
  name: 'harbor',

  async inspect(host, signal) {
    const doing = 'ask for the health of Harbor'
    const answer = await host.get({ path: '/api/v2.0/health', doing, expect: [200, 401, 403, 404, 500, 503], signal })
    if (!Check(Health, answer.document)) return ['its health is not told: is it Harbor?']
    const ill = (answer.document.components ?? []).filter(component => component.status !== 'healthy')
    if (ill.length > 0) return [`Harbor says that it is not healthy: ${ill.map(each => each.name).join(', ')}`]
    return answer.document.status === 'healthy' ? [] : ['Harbor says that it is not healthy']
  },

  async listRepositories(host, query) {
    return await orPlain(listByProjects(host, query), () => listCatalog(host, query))
  },

  async listTags(host, path, query) {
    return await orPlain(listByArtifacts(host, path, query), () => listPlainTags(host, path, query))
  },

  checkPath(path) {
    return path.includes('/')
      ? undefined
      : `a path in Harbor begins with its project: write "<project>/${path}", e.g. "library/${path}"`
  },
}

/** `search` may name the project, as in `library/ng`; otherwise every project is looked through. */
async function listByProjects(host: ProviderHost, { search, limit, signal }: NameQuery): Promise<readonly string[]> {
  const slash = search.indexOf('/')
  const found: string[] = []
  for await (const { name: project } of pages(
    host,
    Projects,
    '/projects',
    search.slice(0, Math.max(0, slash)),
    signal,
  )) {
    const rest = slash < 0 ? search : search.slice(slash + 1)
    const whole = slash < 0 && project.toLowerCase().includes(search) ? '' : rest
    const list = `/projects/${encodeURIComponent(project)}/repositories`
    for await (const { name } of pages(host, Repositories, list, whole, signal)) {
      if (name.toLowerCase().includes(search) && found.push(name) >= limit) return found
    }
  }
  return found
}

async function listByArtifacts(
  host: ProviderHost,
  path: string,
  { search, limit, signal }: NameQuery,
): Promise<readonly SourceTag[]> {
  const slash = path.indexOf('/')
  if (slash < 0) throw unknownPath(path)
  // The API's own rule: a name with slashes is encoded twice.
  const repository = encodeURIComponent(encodeURIComponent(path.slice(slash + 1)))
  const list = `/projects/${encodeURIComponent(path.slice(0, slash))}/repositories/${repository}/artifacts`
  const found: SourceTag[] = []
  for await (const artifact of pages(host, Artifacts, list, '', signal, 'with_tag=true&with_label=false&')) {
    for (const { name, push_time: pushed } of artifact.tags ?? []) {
      if (!name.toLowerCase().includes(search)) continue
      const at = Date.parse(pushed ?? artifact.push_time ?? '')
      if (found.push({ tag: name, ...(Number.isNaN(at) ? {} : { at }) }) >= limit) return found
    }
  }
  return found
}

/** The entries of a list, page by page as they are wanted. `name` is looked for by Harbor itself. */
async function* pages<Entry extends TSchema>(
  host: ProviderHost,
  shape: ReturnType<typeof Type.Array<Entry>>,
  list: string,
  name: string,
  signal: AbortSignal,
  options = '',
): AsyncGenerator<Static<Entry>, void, undefined> {
  const filter = /^[\w./-]+$/.test(name) ? `&q=${encodeURIComponent(`name=~${name}`)}` : ''
  for (let page = 1; page <= maxPages; page++) {
    const path = `/api/v2.0${list}?${options}page=${page}&page_size=${pageSize}${filter}`
    const answer = await host.get({ path, doing: `list ${list} of Harbor`, expect: [200], signal })
    if (!Check(shape, answer.document)) {
      throw new ImageError('UNSUPPORTED', `the answer to ${list} is not Harbor's`, {
        side: 'upstream',
        host: host.domain,
      })
    }
    yield* answer.document
    const total = Number(answer.header('x-total-count') ?? Number.NaN)
    const isLast = Number.isNaN(total) ? answer.document.length < pageSize : page * pageSize >= total
    if (isLast || answer.document.length === 0) return
  }
}

/** A robot may pull without being allowed to use the API: then the registry itself is asked. */
async function orPlain<T>(byApi: Promise<T>, plain: () => Promise<T>): Promise<T> {
  try {
    return await byApi
  } catch (error) {
    if (!(error instanceof ImageError) || !['UNAUTHORIZED', 'DENIED', 'UNSUPPORTED'].includes(error.code)) throw error
    return await plain()
  }
}

function unknownPath(path: string): ImageError {
  return new ImageError('UNSUPPORTED', `${path} names no project`, { side: 'upstream' })
}
