/** Lists in pages: tags and catalog. OCI distribution-spec, "Listing Tags"; the catalog as docker-registry has it. */
import type { FastifyReply } from 'fastify'
import { type Static, Type } from 'typebox'
import { Shape } from '../../oci/shape.ts'
import type { RegistryContent } from './content.ts'
import { RegistryFault, unknownRepository } from './fault.ts'

/** Most entries on one page, asked for or not; the rest is behind `Link`. */
const maxPage = 1000

const PageQuery = Type.Object({
  n: Type.Optional(Type.String({ pattern: '^\\d{1,300}$' })),
  last: Type.Optional(Type.String({ maxLength: 300 })),
})
const pageQuery = new Shape(PageQuery)

/** `GET /v2/<name>/tags/list` */
export function answerTags(
  reply: FastifyReply,
  repository: string,
  query: unknown,
  store: RegistryContent,
): FastifyReply {
  if (!store.hasRepository(repository)) throw unknownRepository(repository)
  const tags = readPage(reply, `/v2/${repository}/tags/list`, query, (after, limit) =>
    store.tags(repository, after, limit),
  )
  return reply.send({ name: repository, tags })
}

/** `GET /v2/_catalog` */
export function answerCatalog(reply: FastifyReply, query: unknown, store: RegistryContent): FastifyReply {
  return reply.send({
    repositories: readPage(reply, '/v2/_catalog', query, (after, limit) => store.catalog(after, limit)),
  })
}

/** One page of a list, and where there is more of it, the header that says so. */
function readPage(
  reply: FastifyReply,
  path: string,
  query: unknown,
  list: (after: string | undefined, limit: number) => readonly string[],
): readonly string[] {
  const { n, last } = parseQuery(query)
  const limit = Math.min(n === undefined ? maxPage : Number(n), maxPage)
  if (limit === 0) return []
  const found = list(last, limit + 1)
  const page = found.slice(0, limit)
  const end = page.at(-1)
  if (found.length > limit && end !== undefined) {
    reply.header('link', `<${path}?n=${limit}&last=${encodeURIComponent(end)}>; rel="next"`)
  }
  return page
}

function parseQuery(query: unknown): Static<typeof PageQuery> {
  if (pageQuery.check(query)) return query
  throw new RegistryFault(400, 'UNSUPPORTED', 'n is a whole number from 0 on, last an entry of the list')
}
