/** What can be wrong with the use of an upload session. Thrown by uploads.ts; http/registry turns it into the API's words. */

/**
 * `UNKNOWN`: no such session. `OUT_OF_ORDER`: the chunk doesn't begin where the last one ended. `LENGTH`: the chunk has another length
 * than was said. `TOO_LARGE`: a blob beyond the limit. `TOO_MANY`: no further session now. `TAKEN_OVER`: a later request goes on
 * with the session, so this one ended.
 */
export type UploadErrorCode = 'UNKNOWN' | 'OUT_OF_ORDER' | 'LENGTH' | 'TOO_LARGE' | 'TOO_MANY' | 'TAKEN_OVER'

export class UploadError extends Error {
  override readonly name = 'UploadError'
  readonly code: UploadErrorCode

  constructor(code: UploadErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
