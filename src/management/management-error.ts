/** What image management refuses, in the words of Kubernetes' Status: the room's one error class. Told to clients by http/ and cli/. */

/** `Invalid` is 400, `NotFound` 404, `AlreadyExists` and `Conflict` 409. */
export type ManagementReason = 'Invalid' | 'NotFound' | 'AlreadyExists' | 'Conflict'

/** Which object it is about. */
export interface ObjectName {
  readonly kind: string
  readonly namespace?: string
  readonly name: string
}

export class ManagementError extends Error {
  override readonly name = 'ManagementError'
  readonly reason: ManagementReason
  readonly object: ObjectName
  /** Every wrong field of an `Invalid`: `spec.domain: expected …`. Never holds a secret. */
  readonly problems: readonly string[]

  constructor(reason: ManagementReason, message: string, object: ObjectName, problems: readonly string[] = []) {
    super(message)
    this.reason = reason
    this.object = object
    this.problems = problems
  }
}

/** The error of fields that are wrong, all of them in its message. */
export function invalid(object: ObjectName, problems: readonly string[]): ManagementError {
  const name = object.name === '' ? '' : ` "${object.name}"`
  return new ManagementError('Invalid', `${object.kind}${name} is invalid: ${problems.join('; ')}`, object, problems)
}

export function notFound(object: ObjectName): ManagementError {
  return new ManagementError('NotFound', `${object.kind} "${object.name}" not found${inNamespace(object)}`, object)
}

export function alreadyExists(object: ObjectName): ManagementError {
  const message = `${object.kind} "${object.name}" already exists${inNamespace(object)}`
  return new ManagementError('AlreadyExists', message, object)
}

export function conflict(object: ObjectName, message: string): ManagementError {
  return new ManagementError('Conflict', message, object)
}

/** The same, of one of many that are wanted together: by its place in their list. */
export function atItem({ reason, message, object, problems }: ManagementError, at: number): ManagementError {
  const placed = problems.map(problem => `items[${at}].${problem}`)
  return new ManagementError(reason, `items[${at}]: ${message}; nothing was created`, object, placed)
}

function inNamespace({ namespace }: ObjectName): string {
  return namespace === undefined ? '' : ` in namespace "${namespace}"`
}
