/** What to do about what a source answers: the hints of errors elsewhere speak of plans and of the configuration. Used by sync.ts and sources.ts. */
import { type ErrorCode, ImageError } from '../oci/errors.ts'
import type { SourceRef } from './documents.ts'

const hints: Partial<Record<ErrorCode, (source: string) => string>> = {
  UNAUTHORIZED: source => `Verify the source ${source}; with other credentials it is deleted and created again.`,
  DENIED: source => `Grant the user of the source ${source} the right to pull this repository.`,
  NAME_UNKNOWN: source => `Check the path, and that it exists at the source ${source}.`,
  MANIFEST_UNKNOWN: source => `Check the tag at the source ${source}; it is looked for again with the next sync.`,
}

/** What a source answers; what its registry refuses, with what to do about it here. */
export async function hinted<T>(source: SourceRef, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw error instanceof ImageError ? withSourceHint(error, source) : error
  }
}

/** The error of a registry with what to do about it where the registry is a source. */
export function withSourceHint(error: ImageError, { namespace, name }: SourceRef): ImageError {
  const hint = error.side !== 'upstream' ? undefined : hints[error.code]?.(`${namespace}/${name}`)
  if (hint === undefined) return error
  const { code, message, doing, side, host } = error
  return new ImageError(code, message, {
    ...{ cause: error, hint },
    ...(doing === undefined ? {} : { doing }),
    ...(side === undefined ? {} : { side }),
    ...(host === undefined ? {} : { host }),
  })
}
