/** How much of a budget is used up, by account: the site's, and each group's. SQL for transfer/link/budget.ts. */
import type Database from 'better-sqlite3'

export interface BudgetUse {
  /** When the period began, in epoch milliseconds. */
  readonly periodStart: number
  /** Bytes used in it: while the agent runs, with what it may use until it writes again. */
  readonly bytes: number
}

export class BudgetRows {
  readonly #find: Database.Statement<[string], { period_start: number; bytes: number }>
  readonly #put: Database.Statement<[string, number, number]>

  constructor(db: Database.Database) {
    this.#find = db.prepare('SELECT period_start, bytes FROM link_budget WHERE account = ?')
    this.#put = db.prepare(
      `INSERT INTO link_budget (account, period_start, bytes) VALUES (?, ?, ?)
       ON CONFLICT (account) DO UPDATE SET period_start = excluded.period_start, bytes = excluded.bytes`,
    )
  }

  find(account: string): BudgetUse | undefined {
    const row = this.#find.get(account)
    return row && { periodStart: row.period_start, bytes: row.bytes }
  }

  put(account: string, use: BudgetUse): void {
    this.#put.run(account, use.periodStart, use.bytes)
  }
}
