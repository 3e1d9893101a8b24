/** Blobs, whole or by range. OCI distribution-spec, "Pulling blobs"; RFC 9110, section 14. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { etagOf, forever, isCurrent, setContentHeaders } from './answer.ts'
import type { OpenBlob, RegistryContent } from './content.ts'
import { RegistryFault, unknownRepository } from './fault.ts'
import type { RegistryPath } from './path.ts'
import { type ByteRange, chooseRange } from './range.ts'
import { ReaderGone, sendBlob } from './send-blob.ts'
import type { Traffic } from './traffic.ts'

type BlobPath = Extract<RegistryPath, { kind: 'blob' }>

interface BlobContext {
  readonly store: RegistryContent
  readonly traffic: Traffic
  readonly logger: Logger
}

/** Answers with the blob, or a range of it. HEAD is answered from the database alone. */
export async function answerBlob(
  request: FastifyRequest,
  reply: FastifyReply,
  path: BlobPath,
  context: BlobContext,
): Promise<FastifyReply> {
  const { store } = context
  const size = store.blobSize(path.repository, path.digest)
  if (size === undefined) throw unknownBlob(store, path)
  setContentHeaders(reply, { digest: path.digest, mediaType: 'application/octet-stream', size })
  reply.headers({ 'accept-ranges': 'bytes', 'cache-control': forever })
  if (isCurrent(request, path.digest)) return reply.code(304).removeHeader('content-length').send()
  if (request.method === 'HEAD') {
    store.upkeep?.told(path.digest)
    return reply.send()
  }
  const range = readRange(request, path, size)
  const blob = await store.content.openBlob(path.digest)
  if (!blob) {
    context.logger.error({ repository: path.repository, digest: path.digest }, 'the file of a blob is missing')
    throw unknownBlob(store, path)
  }
  try {
    await sendRange(reply, blob, { range, size }, context)
  } finally {
    await blob.close()
  }
  return reply
}

function readRange(request: FastifyRequest, path: BlobPath, size: number): ByteRange | 'whole' {
  const ifRange = request.headers['if-range']
  const range = chooseRange(
    { range: request.headers.range, ifRange: typeof ifRange === 'string' ? ifRange : undefined },
    size,
    etagOf(path.digest),
  )
  if (range !== 'unsatisfiable') return range
  throw new RegistryFault(416, 'SIZE_INVALID', 'the range holds no byte of the blob', {
    detail: { size },
    headers: { 'content-range': `bytes */${size}` },
  })
}

async function sendRange(
  reply: FastifyReply,
  blob: OpenBlob,
  { range, size }: { range: ByteRange | 'whole'; size: number },
  context: BlobContext,
): Promise<void> {
  const { start, end } = range === 'whole' ? { start: 0, end: size } : range
  reply.header('content-length', end - start)
  if (range !== 'whole') reply.code(206).header('content-range', `bytes ${start}-${end - 1}/${size}`)
  const { raw } = reply
  // Past fastify from here on: its streams would copy the bytes through buffers of their own.
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value)
  raw.writeHead(reply.statusCode)
  try {
    await sendBlob(blob, { start, end }, raw, context.traffic)
  } catch (error) {
    raw.destroy() // the head has been sent: a cut connection is the only way left to say "incomplete"
    if (error instanceof ReaderGone)
      context.logger.debug({ reason: error.message }, 'a reader left before the end of a blob')
    else context.logger.error({ err: error }, 'a blob could not be read to its end')
  }
}

/** For a blob that the repository doesn't show. */
export function unknownBlob(store: RegistryContent, { repository, digest }: BlobPath): RegistryFault {
  if (!store.hasRepository(repository)) return unknownRepository(repository)
  return new RegistryFault(404, 'BLOB_UNKNOWN', 'the repository has no such blob', {
    detail: { name: repository, digest },
  })
}
