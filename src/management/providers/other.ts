/** Any registry: what the distribution API itself offers. Also what every adapter falls back to. */
import type { NameQuery, Provider, ProviderHost, SourceTag } from './provider.ts'

/** Names that are looked through for one listing; a registry may have millions. */
const maxLooked = 100_000

export const other: Provider = { name: 'other', listRepositories: listCatalog, listTags: listPlainTags }

/** By `/v2/_catalog`. */
export async function listCatalog(host: ProviderHost, query: NameQuery): Promise<readonly string[]> {
  return await gather(host.registry.listRepositories(query.signal), query)
}

/** By `/v2/<path>/tags/list`. */
export async function listPlainTags(host: ProviderHost, path: string, query: NameQuery): Promise<readonly SourceTag[]> {
  const tags = await gather(host.registry.listTags(path, query.signal), query)
  return tags.map(tag => ({ tag }))
}

async function gather(names: AsyncIterable<string>, { search, limit }: NameQuery): Promise<readonly string[]> {
  const found: string[] = []
  let looked = 0
  for await (const name of names) {
    if (name.toLowerCase().includes(search) && found.push(name) >= limit) break
    if (++looked >= maxLooked) break
  }
  return found
}
