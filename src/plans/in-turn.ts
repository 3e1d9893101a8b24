/** Work on many things, a few at a time. Used by run.ts. */

/** Calls `work` for every item, at most `limit` at once, in their order. Rejects with the first failure, after the others have ended. */
export async function inTurn<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker))
  const failed = ends.find(end => end.status === 'rejected')
  if (failed) throw failed.reason
}
