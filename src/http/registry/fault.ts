/** The errors of the distribution API and their JSON. OCI distribution-spec, "Error Codes". Used by every route of the registry. */

/** The specification's codes that the read side answers with; RANGE_INVALID and UNKNOWN as other registries know them. */
export type FaultCode =
  | 'BLOB_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'PAGINATION_NUMBER_INVALID'
  | 'RANGE_INVALID'
  | 'UNSUPPORTED'
  | 'UNKNOWN'

/** A request that gets an error for an answer. */
export class RegistryFault extends Error {
  override readonly name = 'RegistryFault'
  readonly status: number
  readonly code: FaultCode
  readonly detail: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: FaultCode,
    message: string,
    more: { detail?: Readonly<Record<string, unknown>>; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.status = status
    this.code = code
    this.detail = more.detail ?? {}
    this.headers = more.headers ?? {}
  }
}

/** For a repository that isn't here. */
export function unknownRepository(repository: string): RegistryFault {
  return new RegistryFault(404, 'NAME_UNKNOWN', 'there is no such repository here', { detail: { name: repository } })
}

/** The body of an error. */
export function faultBody(fault: Pick<RegistryFault, 'code' | 'message' | 'detail'>): string {
  return JSON.stringify({ errors: [{ code: fault.code, message: fault.message, detail: fault.detail }] })
}
