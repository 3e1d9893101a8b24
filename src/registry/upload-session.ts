/** Upload sessions: opened, moved along by `Location`, cancelled. OCI distribution-spec, "Pushing blobs". */
import type { Answer } from './answer.ts'
import type { Ask, Transport } from './transport.ts'

/** A session that is cancelled for cleanliness is not waited for long. Milliseconds. */
const cancelTimeoutMs = 10_000

export function writeScope(repository: string): string {
  return `repository:${repository}:pull,push`
}

/** A session as it stands: where its next request goes. */
export interface Session {
  readonly location: string
  /** The registry's wish for the smallest chunk, in bytes; 0 for none. */
  readonly minChunk: number
}

/** Opens a session. */
export async function startSession(
  transport: Transport,
  repository: string,
  doing: string,
  signal: AbortSignal,
): Promise<Session> {
  const ask: Ask = {
    method: 'POST',
    url: `/v2/${repository}/blobs/uploads/`,
    scopes: [writeScope(repository)],
    subject: 'upload',
    doing,
    expect: [202],
    signal,
  }
  const answer = await transport.send(ask)
  await answer.discard()
  return sessionOf(transport, answer, ask)
}

/** The session after an answer: every answer may move it. @throws ImageError `UNAVAILABLE` for one that names no place, or another host's. */
export function sessionOf(transport: Transport, answer: Answer, { url, doing }: Pick<Ask, 'url' | 'doing'>): Session {
  const sent = answer.header('location')
  const location = sent === undefined ? undefined : transport.resolveUrl(sent, url)
  if (location === undefined) {
    throw transport.error('UNAVAILABLE', 'the registry opened an upload without saying where it is', doing)
  }
  const minChunk = Number(answer.header('oci-chunk-min-length') ?? 0)
  return { location: location.href, minChunk: Number.isSafeInteger(minChunk) && minChunk > 0 ? minChunk : 0 }
}

/** Ends a session that isn't needed. A registry that won't forgets it by itself some day, so failures don't count. */
export async function cancelSession(
  transport: Transport,
  session: Session,
  repository: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const answer = await transport.send({
      method: 'DELETE',
      url: session.location,
      scopes: [writeScope(repository)],
      subject: 'upload',
      doing: `cancel an upload to ${repository}`,
      expect: [200, 202, 204, 404, 405],
      signal: AbortSignal.any([signal, AbortSignal.timeout(cancelTimeoutMs)]),
    })
    await answer.discard()
  } catch {
    signal.throwIfAborted()
  }
}

/** Cancels a session whose caller has aborted and waits for nothing: else what it holds would lie in the registry for days. */
export function leaveSession(transport: Transport, session: Session, repository: string): void {
  cancelSession(transport, session, repository, AbortSignal.timeout(cancelTimeoutMs)).catch(() => {})
}
