/** What comes from outside, held against its schema. One way for all rooms. */
import type { Static, TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'

/** One place in a value that is not as its schema says. */
export type Misfit = ReturnType<Validator['Errors']>[number]

/**
 * A schema that values are checked against. Its check is generated at the first value: a process needs few of the program's hundred shapes,
 * and generating all of them at the start took time and 2 MiB for nothing.
 */
export class Shape<Schema extends TSchema> {
  readonly #schema: Schema
  #validator: Validator<Record<never, never>, Schema> | undefined

  constructor(schema: Schema) {
    this.#schema = schema
  }

  check(value: unknown): value is Static<Schema> {
    return this.#made().Check(value)
  }

  /** Every misfit, in the order of the schema; none for a value that fits. */
  errors(value: unknown): Misfit[] {
    return this.#made().Errors(value)
  }

  /** @throws what the validator says of the first misfit; for what the agent itself has written. */
  parse(value: unknown): Static<Schema> {
    return this.#made().Parse(value)
  }

  #made(): Validator<Record<never, never>, Schema> {
    this.#validator ??= Compile(this.#schema)
    return this.#validator
  }
}
