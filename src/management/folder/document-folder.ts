/**
 * The folder of documents that the configuration names (`documents.dir`): applied at start, followed for changes, so that a site can
 * be kept as files. A watch makes it quick, a look every minute makes it sure: network file systems and mounted ConfigMaps tell
 * watchers little. Whatever is wrong with the files is logged, and the agent goes on.
 */
import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Logger } from 'pino'
import type { State } from '../../state/database.ts'
import { FolderDocumentRows } from '../../state/folder-documents.ts'
import { inTransaction } from '../../state/transaction.ts'
import { type DocumentInFile, listDocumentFiles, readDocumentFiles } from '../document-files.ts'
import { isMapping } from '../fields.ts'
import { type KeptKinds, keepersOf } from './keepers.ts'
import { type FolderProblem, Reconciler } from './reconciler.ts'

export interface DocumentFolderOptions {
  readonly dir: string
  readonly state: Pick<State, 'db'>
  readonly kinds: KeptKinds
  readonly logger: Logger
  /** After the last change, before it is looked at. Default 300 ms. */
  readonly settleMs?: number
  /** Between two looks without a change. Default 60 s. */
  readonly rescanMs?: number
}

/** What was read of a file, and by which signs it is known to be the same. */
interface KnownFile {
  readonly name: string
  readonly stamp: string
  readonly documents: readonly DocumentInFile[]
  readonly problems: readonly string[]
}

export class DocumentFolder {
  readonly #options: DocumentFolderOptions
  readonly #reconciler: Reconciler
  readonly #stopping = new AbortController()
  #files = new Map<string, KnownFile>()
  /** Documents that are done with; a file that changes makes new ones. */
  readonly #settled = new WeakSet<DocumentInFile>()
  /** Problems as they were last told. */
  #told: ReadonlySet<string> = new Set()
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #scan: Promise<void> | undefined

  constructor(options: DocumentFolderOptions) {
    this.#options = options
    this.#reconciler = new Reconciler({
      keepers: keepersOf(options.kinds),
      rows: new FolderDocumentRows(options.state.db),
      atomically: work => inTransaction(options.state.db, work),
      changed: change => options.logger.info(change, 'a document of the folder was applied'),
    })
  }

  /** Begins with a first look, which goes on after this returns: a large folder must not hold up the start. */
  start(): void {
    this.#plan(0)
  }

  /** Resolves when a look that is under way has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    this.#unwatch()
    await this.#scan
  }

  #plan(waitMs: number): void {
    if (this.#stopping.signal.aborted) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#run(), waitMs)
    this.#timer.unref()
  }

  /** One look at a time; a change during one starts another. */
  #run(): void {
    if (this.#scan !== undefined) {
      this.#plan(this.#settleMs)
      return
    }
    this.#scan = this.#look().finally(() => {
      this.#scan = undefined
    })
    this.#plan(this.#options.rescanMs ?? 60_000)
  }

  async #look(): Promise<void> {
    try {
      // Watching begins before reading, so that nothing that changes meanwhile is missed.
      this.#watch()
      this.#tell(await this.#follow())
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      this.#unwatch() // a folder that comes back is another one
      this.#tell([{ file: this.#options.dir, problem }])
    }
  }

  async #follow(): Promise<FolderProblem[]> {
    await this.#readChanges()
    // More likely a file system that is not mounted than the wish to lose everything.
    if (this.#files.size === 0 && this.#reconciler.ownsAnything) {
      const problem = 'the folder has no documents any more: what came from it stays; an empty file there lets it go'
      return [{ file: this.#options.dir, problem }]
    }
    const files = [...this.#files.values()]
    const documents = files.flatMap(file => file.documents)
    const { once, problems } = withoutDuplicates(documents)
    const due = once.filter(document => !this.#settled.has(document))
    const { signal } = this.#stopping
    // Before removing: a document that has moved to another file is not missing.
    const applied = await this.#reconciler.apply(due, signal)
    if (signal.aborted) return []
    for (const document of applied.settled) this.#settled.add(document)
    const unread = files.filter(file => file.problems.length > 0).map(file => basename(file.name))
    const unremoved = await this.#reconciler.removeMissing(documents, new Set(unread), signal)
    const unreadable = files.flatMap(({ name, problems: texts }) => texts.map(problem => ({ file: name, problem })))
    return [...unreadable, ...problems, ...applied.problems, ...unremoved]
  }

  /** Reads the files that are new or have changed. */
  async #readChanges(): Promise<void> {
    const files = new Map<string, KnownFile>()
    for (const name of await listDocumentFiles(this.#options.dir)) {
      const stamp = await stampOf(name)
      const known = this.#files.get(name)
      const same = known !== undefined && known.stamp === stamp && stamp !== ''
      files.set(name, same ? known : { name, stamp, ...(await readDocumentFiles([name])) })
    }
    this.#files = files
  }

  #watch(): void {
    if (this.#watcher !== undefined) return
    const { dir, logger } = this.#options
    try {
      const watcher = watch(dir, { persistent: false }, () => this.#plan(this.#settleMs))
      watcher.on('error', error => {
        logger.debug({ err: error, dir }, 'the folder of documents can not be watched; it is looked at every minute')
        this.#unwatch()
      })
      this.#watcher = watcher
    } catch (error) {
      logger.debug({ err: error, dir }, 'the folder of documents can not be watched; it is looked at every minute')
    }
  }

  #unwatch(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }

  /** Logs problems that were not told by the last look. */
  #tell(problems: readonly FolderProblem[]): void {
    const texts = new Map(problems.map(problem => [JSON.stringify(problem), problem]))
    for (const [text, problem] of texts) {
      if (!this.#told.has(text)) this.#options.logger.warn(problem, 'a document of the folder can not be applied')
    }
    this.#told = new Set(texts.keys())
  }

  get #settleMs(): number {
    return this.#options.settleMs ?? 300
  }
}

/** What changes with every change of a file; empty where it can't be read, which the reading tells. */
async function stampOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file)
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return ''
  }
}

/** Of two documents about one object, the first counts. */
function withoutDuplicates(documents: readonly DocumentInFile[]) {
  const first = new Map<string, DocumentInFile>()
  const problems: FolderProblem[] = []
  for (const document of documents) {
    const { kind, value, file, line } = document
    const { name = `line ${line} of ${file}`, namespace = 'default' } = isMapping(value.metadata) ? value.metadata : {}
    const key = JSON.stringify([kind, namespace, name])
    const other = first.get(key)
    if (other === undefined) first.set(key, document)
    else problems.push({ file, line, problem: `the same object stands in ${other.file}, line ${other.line}` })
  }
  return { once: [...first.values()], problems }
}
