/**
 * Pulling blobs: a body that starts where it says it does, and is never longer or shorter than the descriptor says.
 * Whether the bytes are the right ones is for the one who hashes them. OCI distribution-spec, "Pulling blobs"; RFC 9110, 14.
 */
import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import type { Answer } from './answer.ts'
import type { Ask, Transport } from './transport.ts'

export interface BlobBody {
  /** Where the body really starts, in bytes: what was asked for, or 0 from a source that can't start in the middle. */
  readonly offset: number
  /**
   * The bytes from `offset` to the blob's end, once. Each chunk is good until the next is asked for. Leaving the loop frees the connection.
   * Throws ImageError `SIZE_MISMATCH`, `STALLED`, `UNAVAILABLE`, …, or the signal's reason.
   */
  readonly body: AsyncIterable<Uint8Array>
  /** Frees the connection of a body that won't be read. */
  cancel(): void
}

export interface FetchBlobOptions {
  /** Bytes that are there already. */
  readonly offset: number
  readonly signal: AbortSignal
}

/** An answer without a length is given so many milliseconds to end once all bytes are here, or to go on too long. */
const endMs = 2_000

/**
 * Asks for a blob from `offset` on. An answer that starts elsewhere, or is for another size, is left and the whole blob asked for.
 * What the descriptor says is empty, or is there already, costs no request.
 * @throws ImageError `SIZE_MISMATCH` as soon as the headers contradict the descriptor, and what {@link Transport.send} throws.
 */
export async function fetchBlob(
  transport: Transport,
  repository: string,
  blob: Descriptor,
  { offset, signal }: FetchBlobOptions,
): Promise<BlobBody> {
  if (offset >= blob.size) return { offset: blob.size, body: nothing(), cancel: () => {} }
  const ask: Ask = {
    method: 'GET',
    url: `/v2/${repository}/blobs/${blob.digest}`,
    scopes: [`repository:${repository}:pull`],
    subject: 'blob',
    doing: `fetch blob ${shortDigest(blob.digest)} of ${repository}`,
    expect: [200],
    signal,
  }
  if (offset > 0) {
    const headers = { range: `bytes=${offset}-` }
    const answer = await transport.send({ ...ask, headers, expect: [200, 206, 416] })
    if (answer.status === 200) return wholeBody(transport, answer, blob, ask.doing)
    if (answer.status === 206 && isRest(answer, offset, blob.size)) {
      return bodyFrom(transport, answer, blob, offset, ask.doing)
    }
    answer.cancel()
  }
  return wholeBody(transport, await transport.send(ask), blob, ask.doing)
}

/** Whether the repository has the blob. */
export async function hasBlob(
  transport: Transport,
  repository: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await transport.send({
    method: 'HEAD',
    url: `/v2/${repository}/blobs/${digest}`,
    scopes: [`repository:${repository}:pull`],
    subject: 'blob',
    doing: `look for blob ${shortDigest(digest)} of ${repository}`,
    expect: [200, 404],
    signal,
  })
  await answer.discard()
  return answer.status === 200
}

/** Whether a 206 is exactly the rest of a blob of this size. */
function isRest(answer: Answer, offset: number, size: number): boolean {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(answer.header('content-range')?.trim() ?? '')
  if (match === null) return false
  const [, start, end, total] = match
  return Number(start) === offset && Number(end) === size - 1 && (total === '*' || Number(total) === size)
}

function wholeBody(transport: Transport, answer: Answer, blob: Descriptor, doing: string): BlobBody {
  return bodyFrom(transport, answer, blob, 0, doing)
}

function bodyFrom(transport: Transport, answer: Answer, blob: Descriptor, offset: number, doing: string): BlobBody {
  answer.refuseEncoding()
  const expected = blob.size - offset
  if (answer.length !== undefined && answer.length !== expected) {
    answer.cancel()
    throw transport.error('SIZE_MISMATCH', `${expected} bytes expected, the registry announces ${answer.length}`, doing)
  }
  return { offset, body: exactly(transport, answer, expected, doing), cancel: () => answer.cancel() }
}

async function* exactly(
  transport: Transport,
  answer: Answer,
  expected: number,
  doing: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  let seen = 0
  let last: Uint8Array | undefined
  let late: NodeJS.Timeout | undefined
  try {
    for await (const chunk of answer.chunks()) {
      seen += chunk.byteLength
      if (seen > expected) throw transport.error('SIZE_MISMATCH', `more than the ${expected} bytes expected`, doing)
      if (seen < expected || answer.length !== undefined) yield chunk
      else {
        // Without a length, what follows tells whether this was all; the chunk's own memory is used for that.
        last = Uint8Array.from(chunk)
        late = setTimeout(() => answer.cancel(), endMs)
      }
    }
  } catch (error) {
    // With all bytes here, only more of them would say that they are wrong; a broken end says nothing.
    if (last === undefined || seen > expected) throw error
  } finally {
    clearTimeout(late)
  }
  // Only an answer without a length can end so; to a proxy of HTTP/1.0 that is what a cut looks like.
  if (seen < expected) throw transport.error('UNAVAILABLE', `cut after ${seen} of ${expected} bytes`, doing)
  if (last !== undefined) yield last
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}
