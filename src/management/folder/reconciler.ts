/**
 * Makes true what the documents of a folder say. What they have created goes when its document goes; what was there before them, or was
 * created otherwise, stays. A problem of one document doesn't touch the others.
 */
import { basename } from 'node:path'
import type { FolderDocumentRows } from '../../state/folder-documents.ts'
import { type DocumentInFile, inOrder } from '../document-files.ts'
import type { DocumentKind } from '../documents.ts'
import { ManagementError } from '../management-error.ts'
import type { Keeper, ObjectKey } from './keepers.ts'

/** What is wrong: told once for as long as it says the same. */
export interface FolderProblem {
  readonly file: string
  readonly line?: number
  /** `Repository default/nginx`. */
  readonly object?: string
  readonly problem: string
}

export interface FolderChange {
  readonly file: string
  readonly object: string
  readonly outcome: 'created' | 'configured' | 'replaced' | 'deleted'
}

export interface ReconcilerOptions {
  readonly keepers: Readonly<Record<DocumentKind, Keeper>>
  readonly rows: FolderDocumentRows
  /** All of it, or nothing when it throws. */
  atomically<T>(work: () => T): T
  /** Tells what was done. */
  changed(change: FolderChange): void
}

export interface Applied {
  /** Documents that need not be looked at again. The others may go through once what they refer to has come. */
  readonly settled: readonly DocumentInFile[]
  readonly problems: readonly FolderProblem[]
}

/** Documents between two breaths: applying is synchronous, and nodes pull meanwhile. */
const breathEvery = 20

export class Reconciler {
  readonly #options: ReconcilerOptions
  /** To find out which object a document is about, it is checked as a whole: once. */
  readonly #keys = new WeakMap<DocumentInFile, ObjectKey>()

  constructor(options: ReconcilerOptions) {
    this.#options = options
  }

  /** Applies documents, others' sources first. */
  async apply(documents: readonly DocumentInFile[], signal: AbortSignal): Promise<Applied> {
    const problems: FolderProblem[] = []
    const settled: DocumentInFile[] = []
    for (const [at, document] of inOrder(documents).entries()) {
      await breathe(at)
      if (signal.aborted) break
      const found = this.#applyOne(document)
      // A plan refers to nothing here, and every refusal of one is reported to MECM: once is enough.
      if (found.length === 0 || document.kind === 'DistributionPlan') settled.push(document)
      problems.push(...found)
    }
    return { settled, problems }
  }

  /** Whether anything here was created by a document. */
  get ownsAnything(): boolean {
    return this.#options.rows.all().length > 0
  }

  /**
   * Deletes what the folder has created and no document says any more. `unread` are files whose documents are not known: what came from
   * them stays.
   */
  async removeMissing(
    documents: readonly DocumentInFile[],
    unread: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<FolderProblem[]> {
    const { rows, keepers } = this.#options
    const wanted = new Set<string>()
    const incomplete = new Set(unread)
    for (const document of documents) {
      const key = this.#findKey(document)
      if (key) wanted.add(textOf(key))
      else incomplete.add(basename(document.file))
    }
    const missing = rows
      .all()
      .filter(row => !incomplete.has(row.file))
      .flatMap(row => (isKind(row.kind, keepers) ? [{ ...row, kind: row.kind }] : []))
      .filter(row => !wanted.has(textOf(row)))
    const problems: FolderProblem[] = []
    for (const [at, row] of inOrder(missing).reverse().entries()) {
      await breathe(at)
      if (signal.aborted) break
      problems.push(...this.#removeOne(row))
    }
    return problems
  }

  /** The object of a document. @throws ManagementError where the document is not valid. */
  #keyOf(document: DocumentInFile): ObjectKey {
    const known = this.#keys.get(document)
    if (known) return known
    const key = this.#options.keepers[document.kind].keyOf(document.value)
    this.#keys.set(document, key)
    return key
  }

  /** Undefined where the document is not valid, which is told when it is applied. */
  #findKey(document: DocumentInFile): ObjectKey | undefined {
    try {
      return this.#keyOf(document)
    } catch (error) {
      if (error instanceof ManagementError) return undefined
      throw error
    }
  }

  #applyOne(document: DocumentInFile): FolderProblem[] {
    const { kind, file, line } = document
    let key: ObjectKey | undefined
    try {
      key = this.#keyOf(document)
      this.#declare(key, document)
      return []
    } catch (error) {
      if (!(error instanceof ManagementError)) throw error
      const { problems, message } = error
      const object = key === undefined ? kind : textOf(key)
      return (problems.length > 0 ? problems : [message]).map(problem => ({ file, line, object, problem }))
    }
  }

  /** An object that was there before is edited, and stays when its document goes: only what was created here is the folder's. */
  #declare(key: ObjectKey, { value, file }: DocumentInFile): void {
    const { keepers, rows, changed } = this.#options
    const keeper = keepers[key.kind]
    const row = rows.find(key.kind, key.namespace, key.name)
    const owned = row !== undefined && row.uid === keeper.uidOf(key)
    const outcome = owned ? this.#applyOwned(key, value) : keeper.apply(value)
    const moved = owned && row.file !== basename(file)
    if (moved || outcome === 'created' || outcome === 'replaced') {
      rows.put({ ...key, uid: keeper.uidOf(key) ?? '', file: basename(file) })
    }
    if (outcome !== 'unchanged') changed({ file, object: textOf(key), outcome })
  }

  /** What can't be changed in place is deleted and created again: the file is the truth about what came from it. */
  #applyOwned(key: ObjectKey, value: DocumentInFile['value']): FolderChange['outcome'] | 'unchanged' {
    const { keepers, atomically } = this.#options
    const keeper = keepers[key.kind]
    try {
      return keeper.apply(value)
    } catch (error) {
      if (!(error instanceof ManagementError) || error.reason !== 'Conflict') throw error
    }
    // What stands stays where the new one can't be had.
    atomically(() => {
      keeper.delete(key)
      keeper.apply(value)
    })
    return 'replaced'
  }

  #removeOne(row: ObjectKey & { readonly uid: string; readonly file: string }): FolderProblem[] {
    const { keepers, rows, changed } = this.#options
    const { kind, namespace, name, uid, file } = row
    const keeper = keepers[kind]
    try {
      // The name may have been taken by another object meanwhile: that one is not ours.
      if (keeper.uidOf(row) === uid) {
        keeper.delete(row)
        changed({ file, object: textOf(row), outcome: 'deleted' })
      }
    } catch (error) {
      if (!(error instanceof ManagementError)) throw error
      if (error.reason !== 'NotFound') return [{ file, object: textOf(row), problem: error.message }]
    }
    rows.remove(kind, namespace, name)
    return []
  }
}

async function breathe(at: number): Promise<void> {
  if (at % breathEvery === breathEvery - 1) await new Promise(resolve => setImmediate(resolve))
}

function textOf({ kind, namespace, name }: ObjectKey): string {
  return `${kind} ${namespace === '' ? '' : `${namespace}/`}${name}`
}

function isKind(kind: string, keepers: Readonly<Record<DocumentKind, Keeper>>): kind is DocumentKind {
  return Object.hasOwn(keepers, kind)
}
