/** The images that are kept in sync: what each is, when it is due, what it has put where, and how its runs went. SQL for management/. */
import type Database from 'better-sqlite3'
import { listRows, nextVersion, type ObjectRow, objectColumns, type RowQuery } from './managed-objects.ts'

export type SyncTrigger = 'created' | 'schedule' | 'request' | 'annotation'

export interface RepositoryRow extends ObjectRow {
  /** In the local registry. */
  readonly path: string
  /** Of its source. */
  readonly domain: string
  /** JSON. */
  readonly spec: string
  /** Of the last run that ended. */
  readonly outcome: '' | 'Success' | 'Failed'
  /** Epoch milliseconds of the last success. */
  readonly lastSynced: number | null
  /** JSON; null until it is known. */
  readonly manifest: string | null
  /** JSON; null unless the last run failed. */
  readonly error: string | null
  /** How far the last run came, 0 to 1. */
  readonly progress: number
  /** Epoch milliseconds. */
  readonly dueAt: number
  /** JSON: what the next run waits for; null where it is due by itself. */
  readonly waiting: string | null
  readonly trigger: SyncTrigger
  readonly requestedBy: string
  /** The address of the call that asked for it; null without one. */
  readonly requestedFrom: string | null
}

export type NewRepositoryRow = Omit<RepositoryRow, 'version' | 'progress' | 'waiting'>

/** What a Repository has put under a tag. */
export interface RepositoryTagRow {
  readonly tag: string
  readonly digest: string
  readonly rolledBack: boolean
}

/** How a run ended. */
export interface RunEnd {
  readonly outcome: 'Success' | 'Failed'
  readonly lastSynced: number | null
  readonly manifest: string | null
  readonly error: string | null
  /** How far it came, 0 to 1. Default 1. */
  readonly progress?: number
  /** The run as it is read back, JSON. */
  readonly run: string
}

/** What of the local registry a Repository needs. */
export interface RepositoryHoldRow {
  readonly namespace: string
  readonly name: string
  readonly path: string
  readonly tag: string | null
  readonly digest: string | null
}

/** Namespace, name, uid, version, created at, annotations, labels, search. */
type MetadataValues = [string, string, string, number, number, string, string, string]

interface TagColumns extends Omit<RepositoryTagRow, 'rolledBack'> {
  readonly rolledBack: number
}

export class RepositoryRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  find(namespace: string, name: string): RepositoryRow | undefined {
    return this.#sql.find.get(namespace, name)
  }

  findByUid(uid: string): RepositoryRow | undefined {
    return this.#sql.findByUid.get(uid)
  }

  list(query: RowQuery): { rows: RepositoryRow[]; total: number } {
    return listRows<RepositoryRow>(this.#db, 'repositories', columns, query)
  }

  /** Those that put content under a path of the local registry. */
  withPath(path: string): RepositoryRow[] {
    return this.#sql.withPath.all(path)
  }

  add(row: NewRepositoryRow, sources: readonly { namespace: string; name: string }[]): void {
    const { namespace, name, uid, createdAt, annotations, labels, search } = row
    const meta = [namespace, name, uid, nextVersion(this.#db), createdAt, annotations, labels, search] as const
    const due = [row.dueAt, row.trigger, row.requestedBy, row.requestedFrom] as const
    this.#sql.add.run(...meta, row.path, row.domain, row.spec, ...due)
    for (const [position, source] of sources.entries()) {
      this.#sql.addSource.run(uid, position, source.namespace, source.name)
    }
  }

  setMetadata(row: Pick<RepositoryRow, 'uid' | 'annotations' | 'labels' | 'search'>): void {
    this.#sql.setMetadata.run(row.annotations, row.labels, row.search, nextVersion(this.#db), row.uid)
  }

  /** Makes the next run due. */
  setDue(
    uid: string,
    { at, trigger, by, from }: { at: number; trigger: SyncTrigger; by: string; from?: string | undefined },
  ): void {
    this.#sql.setDue.run(at, trigger, by, from ?? null, uid)
  }

  /** Puts the next run off until then, for whoever asked for it. */
  setWait(uid: string, dueAt: number, waiting: string): void {
    this.#sql.setWait.run(dueAt, waiting, uid)
  }

  /** Makes due what was put off. */
  endWaits(now: number): void {
    this.#sql.endWaits.run(now)
  }

  /** What is due, the longest overdue first. */
  due(now: number, limit: number): RepositoryRow[] {
    return this.#sql.due.all(now, limit)
  }

  /** Marks a change that readers should see although no column has changed: a run has begun. */
  touch(uid: string): void {
    this.#sql.touch.run(nextVersion(this.#db), uid)
  }

  /** Writes down the end of a run, and forgets the oldest runs beyond `keep`. */
  endRun(uid: string, end: RunEnd, keep: number): void {
    const { outcome, lastSynced, manifest, error, progress = 1, run } = end
    this.#sql.endRun.run(outcome, lastSynced, manifest, error, progress, nextVersion(this.#db), uid)
    this.#addRun(uid, run, keep)
  }

  /** The same of a run that was kept back: only how far it came is news. */
  addRun(uid: string, { progress, run }: { progress: number; run: string }, keep: number): void {
    this.#sql.setProgress.run(progress, nextVersion(this.#db), uid)
    this.#addRun(uid, run, keep)
  }

  /** The last runs as JSON, the newest first. */
  runs(uid: string): string[] {
    return this.#sql.runs.all(uid).map(row => row.document)
  }

  tags(uid: string): RepositoryTagRow[] {
    return this.#sql.tags.all(uid).map(toTag)
  }

  setTag(uid: string, { tag, digest, rolledBack }: RepositoryTagRow, now: number): void {
    this.#sql.setTag.run(uid, tag, digest, rolledBack ? 1 : 0, now)
  }

  /** Forgets the tags that are no longer kept: those not in `tags`, but for rolled back ones. */
  keepTags(uid: string, tags: readonly string[]): void {
    this.#sql.keepTags.run(uid, JSON.stringify(tags))
  }

  /** Lets rolled back tags follow the source again. */
  endRollBacks(uid: string): void {
    this.#sql.endRollBacks.run(uid)
  }

  /** Repositories that name a source. */
  referringTo(namespace: string, name: string): { namespace: string; name: string }[] {
    return this.#sql.referringTo.all(namespace, name)
  }

  remove(uid: string): void {
    for (const table of ['repositories', 'repository_sources', 'repository_tags', 'repository_runs'] as const) {
      this.#sql.remove[table].run(uid)
    }
    nextVersion(this.#db)
  }

  /** Every tag that a Repository has put, with its digest, and every tag that one is to put. */
  holds(): RepositoryHoldRow[] {
    return this.#sql.holds.all()
  }

  /** Those of them under one path. */
  holdsIn(path: string): RepositoryHoldRow[] {
    return this.#sql.holdsIn.all(path)
  }

  #addRun(uid: string, run: string, keep: number): void {
    this.#sql.addRun.run(uid, run)
    this.#sql.pruneRuns.run(uid, uid, keep)
  }
}

function toTag(row: TagColumns): RepositoryTagRow {
  return { ...row, rolledBack: row.rolledBack === 1 }
}

const columns = `${objectColumns}, path, domain, spec, outcome, last_synced AS lastSynced, manifest, error, progress, due_at AS dueAt, waiting, trigger,
  requested_by AS requestedBy, requested_from AS requestedFrom`

const holdsQuery = `SELECT r.namespace, r.name, r.path, t.tag, t.digest FROM repositories r JOIN repository_tags t ON t.uid = r.uid
  UNION ALL
  SELECT r.namespace, r.name, r.path, r.spec ->> 'tag', NULL FROM repositories r WHERE r.spec ->> 'tag' IS NOT NULL`

function prepare(db: Database.Database) {
  return {
    ...prepareObjects(db),
    endRun: db.prepare<[string, number | null, string | null, string | null, number, number, string]>(
      `UPDATE repositories SET outcome = ?, last_synced = coalesce(?, last_synced), manifest = coalesce(?, manifest), error = ?,
         progress = ?, waiting = NULL, version = ? WHERE uid = ?`,
    ),
    setProgress: db.prepare<[number, number, string]>(
      'UPDATE repositories SET progress = ?, version = ? WHERE uid = ?',
    ),
    addRun: db.prepare<[string, string]>('INSERT INTO repository_runs (uid, document) VALUES (?, ?)'),
    pruneRuns: db.prepare<[string, string, number]>(
      `DELETE FROM repository_runs WHERE uid = ? AND id <=
         (SELECT id FROM repository_runs WHERE uid = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
    ),
    runs: db.prepare<[string], { document: string }>(
      'SELECT document FROM repository_runs WHERE uid = ? ORDER BY id DESC',
    ),
    tags: db.prepare<[string], TagColumns>(
      'SELECT tag, digest, rolled_back AS rolledBack FROM repository_tags WHERE uid = ? ORDER BY tag',
    ),
    setTag: db.prepare<[string, string, string, number, number]>(
      `INSERT INTO repository_tags (uid, tag, digest, rolled_back, changed_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (uid, tag) DO UPDATE SET digest = excluded.digest, rolled_back = excluded.rolled_back,
         changed_at = CASE WHEN digest = excluded.digest THEN changed_at ELSE excluded.changed_at END`,
    ),
    keepTags: db.prepare<[string, string]>(
      `DELETE FROM repository_tags WHERE uid = ? AND rolled_back = 0 AND tag NOT IN (SELECT value FROM json_each(?))`,
    ),
    endRollBacks: db.prepare<[string]>('UPDATE repository_tags SET rolled_back = 0 WHERE uid = ?'),
    holds: db.prepare<[], RepositoryHoldRow>(holdsQuery),
    holdsIn: db.prepare<[string], RepositoryHoldRow>(`SELECT * FROM (${holdsQuery}) WHERE path = ?`),
  }
}

function prepareObjects(db: Database.Database) {
  return {
    find: db.prepare<[string, string], RepositoryRow>(
      `SELECT ${columns} FROM repositories WHERE namespace = ? AND name = ?`,
    ),
    findByUid: db.prepare<[string], RepositoryRow>(`SELECT ${columns} FROM repositories WHERE uid = ?`),
    withPath: db.prepare<[string], RepositoryRow>(`SELECT ${columns} FROM repositories WHERE path = ?`),
    add: db.prepare<[...MetadataValues, string, string, string, number, string, string, string | null]>(
      `INSERT INTO repositories (namespace, name, uid, version, created_at, annotations, labels, search, path, domain, spec, outcome,
         progress, due_at, trigger, requested_by, requested_from)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, ?, ?, ?, ?)`,
    ),
    addSource: db.prepare<[string, number, string, string]>(
      'INSERT INTO repository_sources (uid, position, namespace, name) VALUES (?, ?, ?, ?)',
    ),
    setMetadata: db.prepare<[string, string, string, number, string]>(
      'UPDATE repositories SET annotations = ?, labels = ?, search = ?, version = ? WHERE uid = ?',
    ),
    setDue: db.prepare<[number, string, string, string | null, string]>(
      'UPDATE repositories SET due_at = ?, waiting = NULL, trigger = ?, requested_by = ?, requested_from = ? WHERE uid = ?',
    ),
    setWait: db.prepare<[number, string, string]>('UPDATE repositories SET due_at = ?, waiting = ? WHERE uid = ?'),
    endWaits: db.prepare<[number]>('UPDATE repositories SET due_at = min(due_at, ?) WHERE waiting IS NOT NULL'),
    due: db.prepare<[number, number], RepositoryRow>(
      `SELECT ${columns} FROM repositories WHERE due_at <= ? ORDER BY due_at LIMIT ?`,
    ),
    touch: db.prepare<[number, string]>('UPDATE repositories SET version = ? WHERE uid = ?'),
    referringTo: db.prepare<[string, string], { namespace: string; name: string }>(
      `SELECT DISTINCT r.namespace, r.name FROM repository_sources s JOIN repositories r ON r.uid = s.uid
       WHERE s.namespace = ? AND s.name = ? ORDER BY r.namespace, r.name`,
    ),
    remove: {
      repositories: db.prepare<[string]>('DELETE FROM repositories WHERE uid = ?'),
      repository_sources: db.prepare<[string]>('DELETE FROM repository_sources WHERE uid = ?'),
      repository_tags: db.prepare<[string]>('DELETE FROM repository_tags WHERE uid = ?'),
      repository_runs: db.prepare<[string]>('DELETE FROM repository_runs WHERE uid = ?'),
    },
  }
}
