/** Blobs that began to arrive and that nobody went on with: what a withdrawn plan left half way. Used by both shelves. */
import type { HeldContent } from '../../store/collect.ts'
import type { ContentStore } from '../../store/content.ts'

/** A link may be away for days; what a plan or Repository wants is kept for as long as it is wanted. */
const staleMs = 7 * 24 * 60 * 60_000

/** Drops them unless it is a dry run, and answers their bytes. */
export async function dropStaleIngests(
  content: Pick<ContentStore, 'ingests' | 'dropIngest' | 'pins'>,
  { kept }: HeldContent,
  { now, dryRun }: { readonly now: number; readonly dryRun: boolean },
): Promise<number> {
  let bytes = 0
  for (const { digest, updatedAt, open, offset } of content.ingests()) {
    if (open || updatedAt > now - staleMs || kept.has(digest) || content.pins.has(digest)) continue
    if (!dryRun) await content.dropIngest(digest)
    bytes += offset
  }
  return bytes
}
