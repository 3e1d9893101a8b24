/** Cleanup policies, how the last run of each went, and which namespaces an image belongs to. SQL for management/lifecycle. */
import type Database from 'better-sqlite3'
import { listRows, nextVersion, type ObjectRow, objectColumns, type RowQuery } from './managed-objects.ts'

export interface CleanupPolicyRow extends ObjectRow {
  /** JSON. */
  readonly spec: string
  /** JSON; null before the first run. */
  readonly lastRun: string | null
}

const columns = `${objectColumns}, spec, last_run AS lastRun`

export class CleanupPolicyRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  find(namespace: string, name: string): CleanupPolicyRow | undefined {
    return this.#sql.find.get(namespace, name)
  }

  all(): CleanupPolicyRow[] {
    return this.#sql.all.all()
  }

  list(query: RowQuery): { rows: CleanupPolicyRow[]; total: number } {
    return listRows<CleanupPolicyRow>(this.#db, 'cleanup_policies', columns, query)
  }

  add(row: Omit<CleanupPolicyRow, 'version' | 'lastRun'>): void {
    const { namespace, name, uid, createdAt, annotations, labels, search, spec } = row
    this.#sql.add.run(namespace, name, uid, nextVersion(this.#db), createdAt, annotations, labels, search, spec)
  }

  setMetadata(row: Pick<CleanupPolicyRow, 'uid' | 'annotations' | 'labels' | 'search'>): void {
    this.#sql.setMetadata.run(row.annotations, row.labels, row.search, nextVersion(this.#db), row.uid)
  }

  setSpec(uid: string, spec: string): void {
    this.#sql.setSpec.run(spec, nextVersion(this.#db), uid)
  }

  setLastRun(uid: string, lastRun: string): void {
    this.#sql.setLastRun.run(lastRun, nextVersion(this.#db), uid)
  }

  remove(uid: string): void {
    this.#sql.remove.run(uid)
    nextVersion(this.#db)
  }
}

/** Namespaces by the paths that their Repositories have brought. They outlive the Repositories, since the images do. */
export class ImageNamespaceRows {
  readonly #add: Database.Statement<[string, string]>
  readonly #all: Database.Statement<[], { repository: string; namespace: string }>
  readonly #prune: Database.Statement<[]>

  constructor(db: Database.Database) {
    this.#add = db.prepare('INSERT INTO image_namespaces (repository, namespace) VALUES (?, ?) ON CONFLICT DO NOTHING')
    this.#all = db.prepare('SELECT repository, namespace FROM image_namespaces ORDER BY repository, namespace')
    this.#prune = db.prepare(
      `DELETE FROM image_namespaces WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repository = image_namespaces.repository)
         AND NOT EXISTS (SELECT 1 FROM external_tags e WHERE e.repository = image_namespaces.repository)
         AND NOT EXISTS (SELECT 1 FROM repositories r WHERE r.path = image_namespaces.repository AND r.namespace = image_namespaces.namespace)`,
    )
  }

  add(repository: string, namespace: string): void {
    this.#add.run(repository, namespace)
  }

  all(): Map<string, string[]> {
    const found = new Map<string, string[]>()
    for (const { repository, namespace } of this.#all.all()) {
      const known = found.get(repository)
      if (known) known.push(namespace)
      else found.set(repository, [namespace])
    }
    return found
  }

  /** Forgets paths without images and Repositories. */
  prune(): void {
    this.#prune.run()
  }
}

function prepare(db: Database.Database) {
  return {
    find: db.prepare<[string, string], CleanupPolicyRow>(
      `SELECT ${columns} FROM cleanup_policies WHERE namespace = ? AND name = ?`,
    ),
    all: db.prepare<[], CleanupPolicyRow>(`SELECT ${columns} FROM cleanup_policies ORDER BY namespace, name`),
    add: db.prepare<[string, string, string, number, number, string, string, string, string]>(
      `INSERT INTO cleanup_policies (namespace, name, uid, version, created_at, annotations, labels, search, spec)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    setMetadata: db.prepare<[string, string, string, number, string]>(
      'UPDATE cleanup_policies SET annotations = ?, labels = ?, search = ?, version = ? WHERE uid = ?',
    ),
    setSpec: db.prepare<[string, number, string]>('UPDATE cleanup_policies SET spec = ?, version = ? WHERE uid = ?'),
    setLastRun: db.prepare<[string, number, string]>(
      'UPDATE cleanup_policies SET last_run = ?, version = ? WHERE uid = ?',
    ),
    remove: db.prepare<[string]>('DELETE FROM cleanup_policies WHERE uid = ?'),
  }
}
