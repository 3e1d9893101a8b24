/** A command that can't do what was asked: one line for people, a hint where there is something to do, and the exit status. */

/** 1: it failed. 2: wrong usage or configuration. */
export type FailureStatus = 1 | 2

export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitStatus: FailureStatus
  readonly hint: string | undefined

  constructor(message: string, options: { exitStatus?: FailureStatus; hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitStatus = options.exitStatus ?? 1
    this.hint = options.hint
  }
}
