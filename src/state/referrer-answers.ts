/** What upstream answered when it was asked what refers to a manifest. Used by the engine, through agent.ts. */
import type Database from 'better-sqlite3'
import { type Static, Type } from 'typebox'
import { type Descriptor, DescriptorShape, toDescriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { Shape } from '../oci/shape.ts'
import { withoutSync } from './unsynced.ts'

/** Referrers by descriptor, and the tags (cosign's) that point at some. */
export interface ReferrerAnswer {
  readonly referrers: readonly Descriptor[]
  readonly tags: readonly { readonly tag: string; readonly descriptor: Descriptor }[]
}

const AnswerShape = Type.Object({
  referrers: Type.Array(DescriptorShape),
  tags: Type.Array(Type.Object({ tag: Type.String(), descriptor: DescriptorShape })),
})
const shape = new Shape(AnswerShape)

export class ReferrerAnswers {
  readonly #db: Database.Database
  readonly #find: Database.Statement<[string], { found: string }>
  readonly #record: Database.Statement<[string, string, number]>
  readonly #now: () => number

  constructor(db: Database.Database, now: () => number = Date.now) {
    this.#db = db
    this.#find = db.prepare('SELECT found FROM referrer_answers WHERE digest = ?')
    this.#record = db.prepare('INSERT OR REPLACE INTO referrer_answers (digest, found, asked_at) VALUES (?, ?, ?)')
    this.#now = now
  }

  /** The answer for that manifest, or nothing where upstream was never asked. */
  find(digest: Digest): ReferrerAnswer | undefined {
    const row = this.#find.get(digest)
    if (!row) return undefined
    const answer: Static<typeof AnswerShape> = shape.parse(JSON.parse(row.found))
    return {
      referrers: answer.referrers.map(toDescriptor),
      tags: answer.tags.map(({ tag, descriptor }) => ({ tag, descriptor: toDescriptor(descriptor) })),
    }
  }

  record(digest: Digest, answer: ReferrerAnswer): void {
    withoutSync(this.#db, () => this.#record.run(digest, JSON.stringify(answer), this.#now()))
  }
}
