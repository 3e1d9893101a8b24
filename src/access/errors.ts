/** Why the room of access refuses: a closed list of codes. Decide by `code`; `message` and `hint` are for people. */

export type AccessErrorCode =
  /** What was asked for is not formed as it should be. */
  | 'invalid'
  /** A token of that name is in use. */
  | 'name-taken'
  | 'not-found'
  | 'too-many'
  /** The file of the vault's keys is not one. */
  | 'vault-key-invalid'
  /** A secret was encrypted with a key that is not in the file. */
  | 'vault-key-unknown'
  /** A stored secret does not decrypt with its own key: it was changed, or moved to another owner. */
  | 'vault-damaged'

export class AccessError extends Error {
  override readonly name = 'AccessError'
  readonly code: AccessErrorCode
  readonly hint: string | undefined

  constructor(
    code: AccessErrorCode,
    message: string,
    options: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
  }
}
