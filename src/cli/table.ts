/** A table for people: columns aligned, no lines drawn. */
import { printable } from './terminal.ts'

export interface Column<T> {
  readonly title: string
  readonly value: (row: T) => string
  /** Numbers stand at the right. */
  readonly align?: 'right'
}

/** The lines of a table with its titles, `gap` spaces between columns; what comes from outside can't steer the terminal. */
export function formatTable<T>(rows: readonly T[], columns: readonly Column<T>[], gap = 2): string[] {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map(row => columns.map(column => printable(column.value(row)))),
  ]
  const widths = columns.map((_, at) => Math.max(...cells.map(line => line[at]?.length ?? 0)))
  return cells.map(line =>
    line
      .map((cell, at) =>
        columns[at]?.align === 'right' ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0),
      )
      .join(' '.repeat(gap))
      .trimEnd(),
  )
}
