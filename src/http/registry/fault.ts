/** The errors of the distribution API and their JSON. OCI distribution-spec, "Error Codes". Used by every route of the registry. */

/** The specification's codes; a 4xx answer has no other. UNKNOWN is for 5xx. */
export type FaultCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNSUPPORTED'
  | 'UNKNOWN'

type Detail = Readonly<Record<string, unknown>>

/** A request that gets an error for an answer. */
export class RegistryFault extends Error {
  override readonly name = 'RegistryFault'
  readonly status: number
  readonly code: FaultCode
  /** One error each, of the same code; mostly a single one. */
  readonly details: readonly Detail[]
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: FaultCode,
    message: string,
    more: { detail?: Detail | readonly Detail[]; headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.status = status
    this.code = code
    const { detail = {} } = more
    this.details = isList(detail) ? detail : [detail]
    this.headers = more.headers ?? {}
  }
}

/** For a repository that isn't here. */
export function unknownRepository(repository: string): RegistryFault {
  return new RegistryFault(404, 'NAME_UNKNOWN', 'there is no such repository here', { detail: { name: repository } })
}

/** The body of an error. */
export function faultBody({ code, message, details }: Pick<RegistryFault, 'code' | 'message' | 'details'>): string {
  return JSON.stringify({ errors: details.map(detail => ({ code, message, detail })) })
}

function isList(detail: Detail | readonly Detail[]): detail is readonly Detail[] {
  return Array.isArray(detail)
}
