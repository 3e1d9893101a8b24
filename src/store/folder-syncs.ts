/** Makes names in folders durable, with one sync for all who ask while another is under way. Owned by content.ts. */
import { syncFolder } from './layout.ts'

interface Folder {
  readonly running: Promise<void>
  /** The one after it, for those who came too late for it. */
  next: Promise<void> | undefined
}

export class FolderSyncs {
  readonly #folders = new Map<string, Folder>()
  readonly #syncFolder: (path: string) => Promise<void>

  constructor(sync: (path: string) => Promise<void> = syncFolder) {
    this.#syncFolder = sync
  }

  /** Resolves when every name that was in the folder at the call is on the disk. */
  async sync(path: string): Promise<void> {
    const folder = this.#folders.get(path)
    if (folder === undefined) return await this.#run(path)
    // What is under way may have begun before the caller's name was there.
    const run = () => this.#run(path)
    folder.next ??= folder.running.then(run, run)
    await folder.next
  }

  #run(path: string): Promise<void> {
    const running = this.#syncFolder(path).finally(() => {
      if (folder.next === undefined) this.#folders.delete(path)
    })
    const folder: Folder = { running, next: undefined }
    this.#folders.set(path, folder)
    return running
  }
}
