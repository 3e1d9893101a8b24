/** What the local registry holds, as one short word: MECM asks for the list only when the word has changed. Used by agent.ts. */
import { createHash } from 'node:crypto'
import type { HeldImage } from '../http/api/shapes.ts'

export interface Inventory {
  /** Names held, counted. */
  readonly images: number
  /** The same for the same names pointing at the same content, in whatever order they are listed. */
  readonly fingerprint: string
}

export function takeInventory(images: readonly Pick<HeldImage, 'repository' | 'tag' | 'digest'>[]): Inventory {
  const lines = images.map(({ repository, tag, digest }) => `${repository}:${tag ?? ''}@${digest}\n`).sort()
  const hash = createHash('sha256')
  for (const line of lines) hash.update(line)
  return { images: images.length, fingerprint: `sha256:${hash.digest('hex')}` }
}
