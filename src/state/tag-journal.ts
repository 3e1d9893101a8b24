/** Tag changes that an external registry has yet to get: written before the first of them, cleared after the last. */
import type Database from 'better-sqlite3'
import { type Static, Type } from 'typebox'
import { DescriptorShape, toDescriptor } from '../oci/descriptor.ts'
import { Shape } from '../oci/shape.ts'
import type { TagChange } from '../oci/tag-change.ts'

const ChangesShape = Type.Array(
  Type.Union([
    Type.Object({
      do: Type.Literal('set'),
      repository: Type.String(),
      tag: Type.String(),
      descriptor: DescriptorShape,
      source: Type.String(),
    }),
    Type.Object({ do: Type.Literal('remove'), repository: Type.String(), tag: Type.String() }),
  ]),
)
const shape = new Shape(ChangesShape)

/** Changes that belong together, and the entry's number by which they are cleared. */
export interface JournalEntry {
  readonly id: number
  readonly changes: readonly TagChange[]
}

export class TagJournal {
  readonly #add: Database.Statement<[string]>
  readonly #all: Database.Statement<[], { id: number; changes: string }>
  readonly #clear: Database.Statement<[number]>

  constructor(db: Database.Database) {
    this.#add = db.prepare('INSERT INTO tag_journal (changes) VALUES (?)')
    this.#all = db.prepare('SELECT id, changes FROM tag_journal ORDER BY id')
    this.#clear = db.prepare('DELETE FROM tag_journal WHERE id = ?')
  }

  /** Keeps the changes durably and gives the entry's number. */
  add(changes: readonly TagChange[]): number {
    return Number(this.#add.run(JSON.stringify(changes)).lastInsertRowid)
  }

  /** What was begun and not finished, in order. */
  unfinished(): readonly JournalEntry[] {
    return this.#all.all().map(row => {
      const changes: Static<typeof ChangesShape> = shape.parse(JSON.parse(row.changes))
      return {
        id: row.id,
        changes: changes.map(change =>
          change.do === 'set' ? { ...change, descriptor: toDescriptor(change.descriptor) } : change,
        ),
      }
    })
  }

  clear(id: number): void {
    this.#clear.run(id)
  }
}
