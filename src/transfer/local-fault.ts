/** Faults of an external local registry, as they are told. Used by local-external.ts and external-blobs.ts. */
import { ImageError, toImageError } from '../oci/errors.ts'

/**
 * The answer; a fault is told as the local registry's, since its codes would send an operator to look upstream. What it refuses for
 * good stays refused, everything else may pass.
 */
export async function asLocal<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    const error = toImageError(cause)
    if (error.side !== 'local' || ['LOCAL_REGISTRY', 'LOCAL_REFUSED', 'NO_SPACE'].includes(error.code)) throw cause
    const { doing, host, retryAfterMs } = error
    const about = { cause, side: 'local', doing, host, retryAfterMs } as const
    if (error.code !== 'UNAUTHORIZED' && error.code !== 'DENIED')
      throw new ImageError('LOCAL_REGISTRY', error.message, about)
    const hint = 'Check the user name and the password of `registry.external`, and that this user may push.'
    throw new ImageError('LOCAL_REFUSED', error.message, { ...about, hint })
  }
}
