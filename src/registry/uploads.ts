/** Sending one blob: all of it in one PUT, or in chunks where a registry wants that. OCI distribution-spec, "Pushing blobs". */
import type { Descriptor } from '../oci/descriptor.ts'
import { shortDigest } from '../oci/digest.ts'
import type { StreamBody } from './channel.ts'
import type { Ask, Transport } from './transport.ts'
import { cancelSession, leaveSession, type Session, sessionOf, startSession, writeScope } from './upload-session.ts'

/** The blob's bytes from an offset on. */
export type OpenBlob = (offset: number) => AsyncIterable<Uint8Array>

/** Object storage behind a registry copies and hashes a whole layer before it confirms. */
const commitTimeoutMs = 5 * 60_000
/** Small enough for the body limits of common proxies, large enough that requests don't count. Bytes. */
const chunkSize = 16 * 1024 * 1024
/** A registry may wish for larger chunks, but not for any size: a chunk that fails is sent again. Bytes. */
const maxChunkSize = 512 * 1024 * 1024
/** Answers to a whole blob in one PUT that mean "not like this": then chunks are tried, in a new session. */
const wantsChunks = [400, 404, 405, 411, 413, 416, 501]

/**
 * Sends a blob into a repository.
 * @throws ImageError `DIGEST_MISMATCH` where the registry got other bytes than the descriptor says, and what {@link Transport.send} throws.
 */
export async function uploadBlob(
  transport: Transport,
  repository: string,
  blob: Descriptor,
  open: OpenBlob,
  signal: AbortSignal,
): Promise<void> {
  const upload: Upload = {
    transport,
    blob,
    open,
    ask: {
      scopes: [writeScope(repository)],
      subject: 'upload',
      doing: `upload blob ${shortDigest(blob.digest)} to ${repository}`,
      signal,
    },
  }
  if (await inSession(upload, repository, session => putWhole(upload, session))) return
  await inSession(upload, repository, session => putChunks(upload, session))
}

interface Upload {
  readonly transport: Transport
  readonly blob: Descriptor
  readonly open: OpenBlob
  readonly ask: Pick<Ask, 'scopes' | 'subject' | 'doing' | 'signal'>
}

/** Opens a session for one try, and cancels it if that doesn't complete. */
async function inSession(
  { transport, ask }: Upload,
  repository: string,
  send: (session: Session) => Promise<boolean>,
): Promise<boolean> {
  const session = await startSession(transport, repository, ask.doing, ask.signal)
  let done = false
  try {
    done = await send(session)
    return done
  } finally {
    if (!done && ask.signal.aborted) leaveSession(transport, session, repository)
    else if (!done) await cancelSession(transport, session, repository, ask.signal)
  }
}

/** False where the registry wants it in another way. */
async function putWhole({ transport, blob, open, ask }: Upload, session: Session): Promise<boolean> {
  const put: Ask = {
    ...ask,
    method: 'PUT',
    url: finishUrl(session, blob),
    headers: { 'content-type': 'application/octet-stream' },
    body: { length: blob.size, open: () => open(0) },
    expect: [201, 204, ...wantsChunks],
    answerTimeoutMs: commitTimeoutMs,
  }
  const answer = await transport.send(put)
  if (answer.status === 201 || answer.status === 204) {
    await answer.discard()
    return true
  }
  const refusal = await transport.refusal(answer, put)
  // The bytes themselves were wrong: in chunks they would be, too.
  if (refusal.code === 'DIGEST_MISMATCH' || refusal.code === 'SIZE_MISMATCH') throw refusal
  return false
}

/** Sends chunk by chunk, each starting where the registry says it is. */
async function putChunks({ transport, blob, open, ask }: Upload, start: Session): Promise<boolean> {
  let session = start
  const size = Math.min(Math.max(chunkSize, start.minChunk), maxChunkSize)
  for (let offset = 0; offset < blob.size; ) {
    const length = Math.min(size, blob.size - offset)
    const patch: Ask = {
      ...ask,
      method: 'PATCH',
      url: session.location,
      headers: { 'content-type': 'application/octet-stream', 'content-range': `${offset}-${offset + length - 1}` },
      body: part(open, offset, length),
      expect: [202, 204],
      answerTimeoutMs: commitTimeoutMs,
    }
    const answer = await transport.send(patch)
    await answer.discard()
    session = sessionOf(transport, answer, patch)
    offset = received(answer.header('range'), offset, offset + length)
  }
  const answer = await transport.send({
    ...ask,
    method: 'PUT',
    url: finishUrl(session, blob),
    body: new Uint8Array(),
    expect: [201, 204],
    answerTimeoutMs: commitTimeoutMs,
  })
  await answer.discard()
  return true
}

function part(open: OpenBlob, offset: number, length: number): StreamBody {
  return { length, open: () => firstBytes(open(offset), length) }
}

async function* firstBytes(bytes: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length
  for await (const chunk of bytes) {
    yield chunk.byteLength <= left ? chunk : chunk.subarray(0, left)
    left -= Math.min(left, chunk.byteLength)
    if (left === 0) return
  }
}

/** How far the registry says it is (`Range: 0-<last byte>`), if that lies in the chunk just sent; else its end. */
function received(range: string | undefined, start: number, end: number): number {
  const last = Number(/^(?:bytes=)?0-(\d{1,15})$/.exec(range?.trim() ?? '')?.[1] ?? Number.NaN)
  return last >= start && last < end ? last + 1 : end
}

/** The session's address with the digest added. Its own query is left as it was sent: some registries sign it. */
function finishUrl(session: Session, blob: Descriptor): string {
  const url = new URL(session.location)
  url.search += `${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(blob.digest)}`
  return url.href
}
