/** Errors of the rooms below as errors of the distribution API. Used by app.ts for whatever a route throws. */
import type { FastifyError } from 'fastify'
import { type ErrorCode, ImageError } from '../../oci/errors.ts'
import { UploadError, type UploadErrorCode } from '../../store/upload-error.ts'
import { type FaultCode, RegistryFault } from './fault.ts'

const ofUploads: Record<UploadErrorCode, readonly [status: number, code: FaultCode]> = {
  UNKNOWN: [404, 'BLOB_UPLOAD_UNKNOWN'],
  OUT_OF_ORDER: [416, 'BLOB_UPLOAD_INVALID'],
  LENGTH: [400, 'SIZE_INVALID'],
  TOO_LARGE: [413, 'SIZE_INVALID'],
  TOO_MANY: [429, 'TOOMANYREQUESTS'],
  TAKEN_OVER: [409, 'BLOB_UPLOAD_INVALID'],
}

const ofImages: Partial<Record<ErrorCode, readonly [status: number, code: FaultCode]>> = {
  BLOB_UNKNOWN: [404, 'MANIFEST_BLOB_UNKNOWN'],
  DIGEST_INVALID: [400, 'DIGEST_INVALID'],
  DIGEST_MISMATCH: [400, 'DIGEST_INVALID'],
  MANIFEST_INVALID: [400, 'MANIFEST_INVALID'],
  MANIFEST_UNKNOWN: [404, 'MANIFEST_UNKNOWN'],
  NO_SPACE: [507, 'UNKNOWN'],
  SIZE_MISMATCH: [400, 'SIZE_INVALID'],
  UNSUPPORTED: [400, 'UNSUPPORTED'],
}

const retryAfterSeconds = 60

/** Any thrown thing as what the client is told. What nobody foresaw is a 500 without its message, which may name files. */
export function toFault(error: Error | FastifyError): RegistryFault {
  if (error instanceof RegistryFault) return error
  if (error instanceof UploadError) {
    const [status, code] = ofUploads[error.code]
    const headers: Record<string, string> =
      error.code === 'TOO_MANY' ? { 'retry-after': String(retryAfterSeconds) } : {}
    return new RegistryFault(status, code, error.message, { headers, cause: error })
  }
  if (error instanceof ImageError) {
    const known = ofImages[error.code]
    if (known === undefined) return unforeseen(error)
    const advice = error.code === 'NO_SPACE' ? `: ${noSpaceAdvice}` : ''
    return new RegistryFault(known[0], known[1], `${error.message}${advice}`, { cause: error })
  }
  return ofFramework(error)
}

const noSpaceAdvice =
  'remove images from the registry or free space on its disk, then go on; an upload keeps what has arrived so far'

/** What fastify itself refuses: a path that can't be decoded, a type of content that isn't one. */
function ofFramework(error: Error | FastifyError): RegistryFault {
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500
  if (status >= 500) return unforeseen(error)
  const isPath = 'code' in error && error.code === 'FST_ERR_BAD_URL'
  return new RegistryFault(status, isPath ? 'NAME_INVALID' : 'UNSUPPORTED', error.message)
}

function unforeseen(cause: Error): RegistryFault {
  return new RegistryFault(500, 'UNKNOWN', 'the registry could not answer; its log says why', { cause })
}
