/** What becomes of a file whose sync has failed: a kernel tells once that pages are lost, and they may read well for a while. Used by ingest.ts and upload-session.ts. */
import { rmSync } from 'node:fs'
import type { Logger } from 'pino'

/**
 * Notes in the database what may still be trusted, for the next process as well. Where it can't be noted, the file goes as a whole; it is
 * not cut, since a write under way would make it long again. Never throws; answers whether it was noted.
 */
export function noteLostPages(path: string, note: () => void, logger: Logger): boolean {
  try {
    note()
    return true
  } catch (error) {
    logger.warn({ err: error, path }, 'a file starts over: what the disk has lost of it could not be noted')
  }
  try {
    rmSync(path, { force: true })
  } catch (error) {
    logger.error({ err: error, path }, 'a file may go on from bytes that the disk has lost')
  }
  return false
}
