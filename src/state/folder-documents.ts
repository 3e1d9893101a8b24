/** Which objects the folder of the configuration has created. SQL for management/folder. */
import type Database from 'better-sqlite3'

export interface FolderDocumentRow {
  readonly kind: string
  /** Empty for a plan. */
  readonly namespace: string
  readonly name: string
  /** Of the object that was created; empty for a plan. */
  readonly uid: string
  /** Its name in the folder. */
  readonly file: string
}

export class FolderDocumentRows {
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  all(): FolderDocumentRow[] {
    return this.#sql.all.all()
  }

  find(kind: string, namespace: string, name: string): FolderDocumentRow | undefined {
    return this.#sql.find.get(kind, namespace, name)
  }

  put({ kind, namespace, name, uid, file }: FolderDocumentRow): void {
    this.#sql.put.run(kind, namespace, name, uid, file)
  }

  remove(kind: string, namespace: string, name: string): void {
    this.#sql.remove.run(kind, namespace, name)
  }
}

function prepare(db: Database.Database) {
  const key = 'WHERE kind = ? AND namespace = ? AND name = ?'
  return {
    all: db.prepare<[], FolderDocumentRow>('SELECT kind, namespace, name, uid, file FROM folder_documents'),
    find: db.prepare<[string, string, string], FolderDocumentRow>(
      `SELECT kind, namespace, name, uid, file FROM folder_documents ${key}`,
    ),
    put: db.prepare<[string, string, string, string, string]>(
      'INSERT OR REPLACE INTO folder_documents (kind, namespace, name, uid, file) VALUES (?, ?, ?, ?, ?)',
    ),
    remove: db.prepare<[string, string, string]>(`DELETE FROM folder_documents ${key}`),
  }
}
