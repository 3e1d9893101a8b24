/** What the local registry holds, as one short word: MECM asks for the list only when the word has changed. Used by local-side.ts. */
import { createHash } from 'node:crypto'
import type { HeldImage } from '../http/api/shapes.ts'
import type { Store } from '../store/store.ts'

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

/** Gives a store's inventory, taken anew only when something has changed there: an idle edge looks at no tag. */
export function inventoryOf(store: Pick<Store, 'allTags' | 'changes'>): () => Inventory {
  let taken: { readonly changes: number; readonly inventory: Inventory } | undefined
  return () => {
    const { changes } = store
    if (taken?.changes !== changes) {
      const names = store.allTags().map(({ descriptor, ...name }) => ({ ...name, digest: descriptor.digest }))
      taken = { changes, inventory: takeInventory(names) }
    }
    return taken.inventory
  }
}
