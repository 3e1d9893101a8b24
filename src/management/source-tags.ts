/** The tags of a path at a source, the newest version first. Used for browsing and for tag patterns. */
import type { SourceAccess } from './source-access.ts'
import { compareTags } from './tag-pattern.ts'

/** Tags of one path that are looked at; the newest of more can't be told by registries that list by name. */
const maxTags = 10_000

/** @throws ImageError of the registry. */
export async function listSourceTags(
  access: SourceAccess,
  path: string,
  search: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const sourcePath = access.provider.sourcePath(path)
  const found = await access.provider.listTags(access, sourcePath, { search, limit: maxTags, signal })
  return found.toSorted(compareTags).map(({ tag }) => tag)
}
