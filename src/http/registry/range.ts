/** The Range header, as far as blobs need it: one range of bytes. RFC 9110, section 14. */

/** The bytes from `start` up to, not including, `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * What a GET with these headers is answered with: a range, `whole`, or `unsatisfiable` (416).
 * Several ranges, other units and nonsense are answered with the whole, as the RFC allows. So is any range of an empty
 * blob: clients that always send `bytes=0-` expect that. One that ends before it begins is refused, as the specification's
 * conformance programme asks.
 */
export function chooseRange(
  headers: { readonly range?: string | undefined; readonly ifRange?: string | undefined },
  size: number,
  etag: string,
): ByteRange | 'whole' | 'unsatisfiable' {
  if (headers.range === undefined || size === 0) return 'whole'
  // A date never fits, as no Last-Modified is sent: content by digest doesn't change.
  if (headers.ifRange !== undefined && headers.ifRange !== etag) return 'whole'
  const match = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(headers.range)
  if (!match || (match[1] === '' && match[2] === '')) return 'whole'
  if (match[1] === '') {
    const length = Number(match[2])
    return length === 0 ? 'unsatisfiable' : { start: Math.max(0, size - length), end: size }
  }
  const start = Number(match[1])
  const last = match[2] === '' ? Number.POSITIVE_INFINITY : Number(match[2])
  if (last < start) return 'unsatisfiable'
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(last + 1, size) }
}
