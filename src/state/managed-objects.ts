/** What the tables of image management have in common: one counter of changes, and lists by namespace, search and labels. */
import type Database from 'better-sqlite3'

/** The columns that every object has. */
export interface ObjectRow {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly version: number
  /** Epoch milliseconds. */
  readonly createdAt: number
  /** JSON object of texts. */
  readonly annotations: string
  /** JSON object of texts. */
  readonly labels: string
  /** Lower case. */
  readonly search: string
}

/** What is asked of one label. */
export interface LabelCondition {
  readonly key: string
  /** Any of these; absent: any at all. */
  readonly values?: readonly string[]
  /** The label must not be there, or not with one of the values. */
  readonly negated: boolean
}

export interface RowQuery {
  readonly namespaces: readonly string[] | 'all'
  /** Lower case; empty for everything. */
  readonly search: string
  /** All of them must hold. */
  readonly labels: readonly LabelCondition[]
  readonly offset: number
  readonly limit: number
}

export const objectColumns = 'namespace, name, uid, version, created_at AS createdAt, annotations, labels, search'

/** The next resourceVersion; it never gives one twice. */
export function nextVersion(db: Database.Database): number {
  const row = db
    .prepare<[], { value: number }>('UPDATE management_version SET value = value + 1 WHERE id = 1 RETURNING value')
    .get()
  if (row === undefined) throw new Error('the database has no management_version')
  return row.value
}

/** One page of a table's rows by namespace and name, and how many there are on all pages. */
export function listRows<Row extends ObjectRow>(
  db: Database.Database,
  table: 'sources' | 'repositories' | 'cleanup_policies',
  columns: string,
  query: RowQuery,
): { rows: Row[]; total: number } {
  const { where, values } = conditions(query)
  const total = db
    .prepare<unknown[], { total: number }>(`SELECT count(*) AS total FROM ${table} ${where}`)
    .get(...values)
  const rows = db
    .prepare<unknown[], Row>(`SELECT ${columns} FROM ${table} ${where} ORDER BY namespace, name LIMIT ? OFFSET ?`)
    .all(...values, query.limit, query.offset)
  return { rows, total: total?.total ?? 0 }
}

function conditions({ namespaces, search, labels }: RowQuery): { where: string; values: string[] } {
  const parts: string[] = []
  const values: string[] = []
  if (namespaces !== 'all') {
    parts.push('namespace IN (SELECT value FROM json_each(?))')
    values.push(JSON.stringify(namespaces))
  }
  if (search !== '') {
    parts.push('instr(search, ?) > 0')
    values.push(search)
  }
  for (const label of labels) {
    // Not json_extract: a label's name may hold what a JSON path can't quote.
    const wanted = label.values === undefined ? '' : ' AND value IN (SELECT value FROM json_each(?))'
    parts.push(`${label.negated ? 'NOT ' : ''}EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ?${wanted})`)
    values.push(label.key)
    if (label.values !== undefined) values.push(JSON.stringify(label.values))
  }
  return { where: parts.length === 0 ? '' : `WHERE ${parts.join(' AND ')}`, values }
}
