/**
 * The plans of this edge: what was asked, how each is, and which content each wants. SQL for plans/.
 */
import type Database from 'better-sqlite3'
import { inTransaction } from './transaction.ts'

/** Who asked: the edge's own topic, HTTP and the command line are 'edge'; a group's topic is 'group:<group>'. */
export type Scope = 'edge' | `group:${string}`

/** How a plan was withdrawn: an empty payload, its own `withdrawn: true`, or by HTTP. */
export type Withdrawal = 'empty' | 'field' | 'http'

export interface PlanRow {
  readonly name: string
  readonly scope: Scope
  readonly revision: number
  /** Epoch milliseconds. */
  readonly issuedAt: number
  /** The plan as JSON; null once it is withdrawn. */
  readonly document: string | null
  readonly withdrawn: Withdrawal | null
}

export interface StatusRow {
  readonly name: string
  readonly run: number
  readonly scope: Scope
  readonly phase: string
  readonly seq: number
  /** The status as it is published, JSON. */
  readonly document: string
  readonly started: boolean
  readonly readyRun: number | null
  readonly supersededBy: string | null
  readonly queuedSeq: number
  /** Epoch milliseconds; null while the status stays. */
  readonly clearAt: number | null
}

/** What one run wants under one name of the local registry. */
export interface WantedRow {
  readonly plan: string
  readonly run: number
  readonly position: number
  readonly repository: string
  readonly tag: string | null
  /** Of the root upstream; null until it is pinned or resolved. */
  readonly digest: string | null
  /** Of the root as it was put into the local registry; null until then. */
  readonly localDigest: string | null
  readonly published: boolean
}

/** What another plan wants under a tag, and how it stands against others. */
export interface RivalRow {
  readonly plan: string
  readonly digest: string | null
  /** Epoch milliseconds. */
  readonly issuedAt: number
}

/** Content that cleanup must leave alone, and for whom. Without a digest, whatever the tag points at. */
export interface Hold {
  readonly plan: string
  readonly repository: string
  readonly tag: string | null
  readonly digest: string | null
}

interface StatusColumns extends Omit<StatusRow, 'started'> {
  readonly started: number
}

interface WantedColumns extends Omit<WantedRow, 'published'> {
  readonly published: number
}

export class PlanRows {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  /** Runs `work` as one transaction: all of it, or nothing when it throws. */
  transaction<T>(work: () => T): T {
    return inTransaction(this.#db, work)
  }

  get inTransaction(): boolean {
    return this.#db.inTransaction
  }

  /** The next number of a counter; it never gives one twice. */
  next(counter: 'seq' | 'run'): number {
    const row = this.#sql.next.get(counter)
    if (row === undefined) throw new Error(`the database has no counter "${counter}"`)
    return row.value
  }

  /** Lets a counter go on after `value`. It never goes back. */
  raise(counter: 'seq' | 'seq taken up', value: number): void {
    this.#sql.raise.run(value, counter)
  }

  /** A counter's last number. */
  last(counter: 'seq taken up'): number {
    return this.#sql.last.get(counter)?.value ?? 0
  }

  plan(name: string, scope: Scope): PlanRow | undefined {
    return this.#sql.plan.get(name, scope)
  }

  /** Every scope's row of a name. */
  plansNamed(name: string): PlanRow[] {
    return this.#sql.plansNamed.all(name)
  }

  /** The plans that stand, by name and scope. */
  standing(): { name: string; scope: Scope }[] {
    return this.#sql.standing.all()
  }

  countStanding(): number {
    return this.#sql.countStanding.get()?.count ?? 0
  }

  putPlan(row: PlanRow, now: number): void {
    this.#sql.putPlan.run(row.name, row.scope, row.revision, row.issuedAt, row.document, row.withdrawn, now)
  }

  /** Forgets the oldest withdrawn plans beyond `keep`. */
  pruneWithdrawn(keep: number): void {
    this.#sql.pruneWithdrawn.run(keep)
  }

  status(name: string): StatusRow | undefined {
    const row = this.#sql.status.get(name)
    return row && toStatus(row)
  }

  statuses(): StatusRow[] {
    return this.#sql.statuses.all().map(toStatus)
  }

  putStatus(row: StatusRow): void {
    this.#sql.putStatus.run(
      row.name,
      row.run,
      row.scope,
      row.phase,
      row.seq,
      row.document,
      row.started ? 1 : 0,
      row.readyRun,
      row.supersededBy,
      row.queuedSeq,
      row.clearAt,
    )
  }

  setClearAt(name: string, seq: number, at: number | null): void {
    this.#sql.setClearAt.run(at, name, seq)
  }

  /** Withdrawn plans whose status is due to be cleared. */
  dueToClear(now: number, limit: number): StatusRow[] {
    return this.#sql.dueToClear.all(now, limit).map(toStatus)
  }

  removeStatus(name: string): void {
    this.#sql.removeStatus.run(name)
  }

  /** Refused plans beyond the newest `keep` that have nothing but their refusal. */
  surplusRefused(keep: number): StatusRow[] {
    return this.#sql.surplusRefused.all(keep).map(toStatus)
  }

  wanted(plan: string, run: number): WantedRow[] {
    return this.#sql.wanted.all(plan, run).map(toWanted)
  }

  /** What an image turned out to be upstream. */
  setDigest(plan: string, run: number, position: number, digest: string): void {
    this.#sql.setDigest.run(digest, plan, run, position)
  }

  /** That an image is in place under its tag, with the root as it was put. */
  setPublished(plan: string, run: number, position: number, localDigest: string): void {
    this.#sql.setPublished.run(localDigest, plan, run, position)
  }

  putWanted(row: WantedRow): void {
    const { plan, run, position, repository, tag, digest, localDigest, published } = row
    this.#sql.putWanted.run(plan, run, position, repository, tag, digest, localDigest, published ? 1 : 0)
  }

  /** What other plans that stand want under a tag. */
  rivals(repository: string, tag: string, plan: string): RivalRow[] {
    return this.#sql.rivals.all(repository, tag, plan)
  }

  removeWanted(plan: string): void {
    this.#sql.removeWanted.run(plan)
  }

  /** Forgets what runs of a plan wanted, but for the current one and the last that was Ready. */
  removeOtherRuns(plan: string, run: number, readyRun: number | null): void {
    this.#sql.removeOtherRuns.run(plan, run, readyRun ?? run)
  }

  holds(): Hold[] {
    return this.#sql.holds.all()
  }

  /** Those of them in one repository. */
  holdsIn(repository: string): Hold[] {
    return this.#sql.holdsIn.all(repository)
  }
}

function toStatus(row: StatusColumns): StatusRow {
  return { ...row, started: row.started === 1 }
}

function toWanted(row: WantedColumns): WantedRow {
  return { ...row, published: row.published === 1 }
}

const planColumns = 'name, scope, revision, issued_at AS issuedAt, document, withdrawn'
const statusColumns = `name, run, scope, phase, seq, document, started, ready_run AS readyRun, superseded_by AS supersededBy,
  queued_seq AS queuedSeq, clear_at AS clearAt`
const wantedColumns = `w.plan, w.run, w.position, w.repository, w.tag, w.digest, w.local_digest AS localDigest,
  w.published`

const holdsQuery = `SELECT DISTINCT w.plan, w.repository, w.tag, coalesce(w.local_digest, w.digest) AS digest
  FROM plan_images w JOIN plan_statuses s ON s.name = w.plan
 WHERE ((w.run = s.run AND s.phase NOT IN ('Withdrawn', 'Expired', 'Rejected', 'Superseded'))
    OR (w.run = s.ready_run AND s.phase <> 'Withdrawn' AND (s.phase <> 'Superseded' OR EXISTS (
          SELECT 1 FROM plan_statuses o WHERE o.name = s.superseded_by
             AND o.phase NOT IN ('Ready', 'Withdrawn', 'Expired', 'Rejected')))))`

function prepare(db: Database.Database) {
  return {
    next: db.prepare<[string], { value: number }>(
      'UPDATE plan_counters SET value = value + 1 WHERE name = ? RETURNING value',
    ),
    last: db.prepare<[string], { value: number }>('SELECT value FROM plan_counters WHERE name = ?'),
    raise: db.prepare<[number, string]>('UPDATE plan_counters SET value = max(value, ?) WHERE name = ?'),
    plan: db.prepare<[string, string], PlanRow>(`SELECT ${planColumns} FROM plans WHERE name = ? AND scope = ?`),
    plansNamed: db.prepare<[string], PlanRow>(`SELECT ${planColumns} FROM plans WHERE name = ?`),
    standing: db.prepare<[], { name: string; scope: Scope }>(
      'SELECT name, scope FROM plans WHERE withdrawn IS NULL ORDER BY name, scope',
    ),
    countStanding: db.prepare<[], { count: number }>('SELECT count(*) AS count FROM plans WHERE withdrawn IS NULL'),
    putPlan: db.prepare<[string, string, number, number, string | null, string | null, number]>(
      `INSERT OR REPLACE INTO plans (name, scope, revision, issued_at, document, withdrawn, changed_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ),
    pruneWithdrawn: db.prepare<[number]>(
      `DELETE FROM plans WHERE withdrawn IS NOT NULL
         AND changed_at < (SELECT changed_at FROM plans WHERE withdrawn IS NOT NULL ORDER BY changed_at DESC LIMIT 1 OFFSET ?)`,
    ),
    status: db.prepare<[string], StatusColumns>(`SELECT ${statusColumns} FROM plan_statuses WHERE name = ?`),
    statuses: db.prepare<[], StatusColumns>(`SELECT ${statusColumns} FROM plan_statuses ORDER BY run`),
    putStatus: db.prepare<
      [string, number, string, string, number, string, number, number | null, string | null, number, number | null]
    >(
      `INSERT OR REPLACE INTO plan_statuses
         (name, run, scope, phase, seq, document, started, ready_run, superseded_by, queued_seq, clear_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    setClearAt: db.prepare<[number | null, string, number]>(
      'UPDATE plan_statuses SET clear_at = ? WHERE name = ? AND seq = ?',
    ),
    dueToClear: db.prepare<[number, number], StatusColumns>(
      `SELECT ${statusColumns} FROM plan_statuses WHERE clear_at IS NOT NULL AND clear_at <= ? ORDER BY clear_at LIMIT ?`,
    ),
    removeStatus: db.prepare<[string]>('DELETE FROM plan_statuses WHERE name = ?'),
    surplusRefused: db.prepare<[number], StatusColumns>(
      `SELECT ${statusColumns} FROM plan_statuses s WHERE phase = 'Rejected'
         AND NOT EXISTS (SELECT 1 FROM plans p WHERE p.name = s.name) ORDER BY run DESC LIMIT -1 OFFSET ?`,
    ),
    wanted: db.prepare<[string, number], WantedColumns>(
      `SELECT ${wantedColumns} FROM plan_images w WHERE w.plan = ? AND w.run = ? ORDER BY w.position`,
    ),
    putWanted: db.prepare<[string, number, number, string, string | null, string | null, string | null, number]>(
      `INSERT OR REPLACE INTO plan_images (plan, run, position, repository, tag, digest, local_digest, published)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    setDigest: db.prepare<[string, string, number, number]>(
      'UPDATE plan_images SET digest = ? WHERE plan = ? AND run = ? AND position = ?',
    ),
    setPublished: db.prepare<[string, string, number, number]>(
      'UPDATE plan_images SET local_digest = ?, published = 1 WHERE plan = ? AND run = ? AND position = ?',
    ),
    // Failed and Superseded plans stand, too: which plan wins must not hang on the order in which they arrive or fail. A plan
    // ends to stand when it is withdrawn, expired or replaced.
    rivals: db.prepare<[string, string, string], RivalRow>(
      `SELECT w.plan, w.digest, p.issued_at AS issuedAt FROM plan_images w
         JOIN plan_statuses s ON s.name = w.plan AND s.run = w.run
         JOIN plans p ON p.name = s.name AND p.scope = s.scope AND p.withdrawn IS NULL
        WHERE w.repository = ? AND w.tag = ? AND w.plan <> ? AND s.phase NOT IN ('Withdrawn', 'Expired', 'Rejected')`,
    ),
    removeWanted: db.prepare<[string]>('DELETE FROM plan_images WHERE plan = ?'),
    removeOtherRuns: db.prepare<[string, number, number]>(
      'DELETE FROM plan_images WHERE plan = ? AND run <> ? AND run <> ?',
    ),
    // The current run of a plan that stands; beside it the last run that was Ready, until the next one is. What a superseded
    // plan had in place is held until the winner is in place: what worked yesterday works while today's plan is on its way.
    holds: db.prepare<[], Hold>(holdsQuery),
    holdsIn: db.prepare<[string], Hold>(`${holdsQuery} AND w.repository = ?`),
  }
}
