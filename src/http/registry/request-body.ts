/** What a writing request says of its body, small bodies as a whole, and what is left of refused ones. Used by the write side's routes. */
import type { IncomingMessage } from 'node:http'
import { RegistryFault } from './fault.ts'

/** Bytes that the request says it brings; undefined where it doesn't say (chunked). */
export function declaredLength({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length']
  if (length !== undefined) return Number(length) // the HTTP parser lets only digits through
  return headers['transfer-encoding'] === undefined ? 0 : undefined
}

/** A body of `limit` bytes at most. @throws RegistryFault 413 for a longer one, of which no more than that is read. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  if ((declaredLength(request) ?? 0) > limit) throw tooLarge(limit)
  const chunks: Buffer[] = []
  let length = 0
  // Not destroyed on the way out: its connection has to carry the answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk
    length += bytes.byteLength
    if (length > limit) throw tooLarge(limit)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks, length)
}

/** How long the rest of a body that nobody wants may take before its connection is cut. */
const drainMs = 10_000

/** Takes the rest of a body off the line once the answer is out, so that the client reads the answer and the connection can go on. */
export function drain(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return
  const cut = setTimeout(() => request.destroy(), drainMs).unref()
  request.once('close', () => clearTimeout(cut))
  request.resume()
}

/** The place of a chunk within its blob, both ends inclusive, as `Content-Range` tells it. */
export interface ChunkRange {
  readonly first: number
  readonly last: number
}

/**
 * Reads `Content-Range: 0-1023`, the specification's form, and `bytes 0-1023/*`, the RFC's. Undefined without the header.
 * @throws RegistryFault 400 for anything else, and where it isn't as long as the body is said to be.
 */
export function readChunkRange(request: IncomingMessage): ChunkRange | undefined {
  const header = request.headers['content-range']
  if (header === undefined) return undefined
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim())
  const range = { first: Number(match?.[1]), last: Number(match?.[2]) }
  if (!match || range.last < range.first) {
    throw new RegistryFault(400, 'BLOB_UPLOAD_INVALID', 'Content-Range is <first byte>-<last byte>, both inclusive')
  }
  const length = declaredLength(request)
  if (length !== undefined && length !== range.last - range.first + 1) {
    throw new RegistryFault(400, 'SIZE_INVALID', 'Content-Range and Content-Length tell different lengths')
  }
  return range
}

function tooLarge(limit: number): RegistryFault {
  return new RegistryFault(413, 'SIZE_INVALID', `a manifest may have ${limit} bytes at most`)
}
