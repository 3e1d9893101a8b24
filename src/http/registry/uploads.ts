/** Upload sessions: begin, append, ask, end, cancel; and mounts. OCI distribution-spec, "Pushing blobs". Used by app.ts. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { algorithmOf, type Digest, type DigestAlgorithm, isDigest } from '../../oci/digest.ts'
import { ImageError } from '../../oci/errors.ts'
import { Shape } from '../../oci/shape.ts'
import { UploadError } from '../../store/upload-error.ts'
import type { UploadStatus } from '../../store/uploads.ts'
import { RegistryFault } from './fault.ts'
import type { RegistryPath } from './path.ts'
import { declaredLength, readChunkRange } from './request-body.ts'
import type { Traffic } from './traffic.ts'
import type { WritableContent } from './write-side.ts'

type UploadsPath = Extract<RegistryPath, { kind: 'uploads' }>
type UploadPath = Extract<RegistryPath, { kind: 'upload' }>

/** What a push goes into, and where it is counted. */
interface Pushing {
  readonly content: WritableContent
  readonly traffic: Traffic
}

const BeginQuery = Type.Object({
  digest: Type.Optional(Type.String({ maxLength: 255 })),
  mount: Type.Optional(Type.String({ maxLength: 255 })),
  from: Type.Optional(Type.String({ maxLength: 255 })),
  'digest-algorithm': Type.Optional(Type.String({ maxLength: 64 })),
})
const beginQuery = new Shape(BeginQuery)

/** In how many repositories a mount without `from` looks for the blob. */
const maxMountSources = 20

/**
 * `POST …/blobs/uploads/`: a mount, a whole blob, or a session to be filled. `mayPull` tells whether the caller may see another
 * repository's content, since a mount would give it away.
 */
export async function beginUpload(
  request: FastifyRequest,
  reply: FastifyReply,
  { repository }: UploadsPath,
  context: Pushing & { readonly mayPull: (repository: string) => Promise<boolean> },
): Promise<FastifyReply> {
  const { content, traffic } = context
  const query = readQuery(request.query)
  if (query.mount !== undefined) {
    const digest = checkDigest(query.mount)
    if (await mountBlob(repository, digest, query.from, context)) return sendCreated(reply, repository, digest)
  }
  if (query.digest !== undefined && query.mount === undefined) {
    const digest = checkDigest(query.digest)
    traffic.countPushedBytes(await takeWhole(request, repository, digest, content))
    return sendCreated(reply, repository, digest)
  }
  const status = content.uploads.create(repository, checkAlgorithm(query['digest-algorithm']))
  return sendStatus(reply.code(202), repository, status)
}

/** `GET …/blobs/uploads/<id>`: how far the session is. */
export function tellUpload(reply: FastifyReply, path: UploadPath, content: WritableContent): FastifyReply {
  return sendStatus(reply.code(204), path.repository, findUpload(path, content))
}

/** `PATCH …/blobs/uploads/<id>`: the next chunk; without `Content-Range`, whatever comes is appended. */
export async function appendUpload(
  request: FastifyRequest,
  reply: FastifyReply,
  path: UploadPath,
  content: WritableContent,
): Promise<FastifyReply> {
  const status = await append(request, path, content)
  return sendStatus(reply.code(202), path.repository, status)
}

/** `PUT …/blobs/uploads/<id>?digest=`: the end of the session, with or without a last chunk. */
export async function finishUpload(
  request: FastifyRequest,
  reply: FastifyReply,
  path: UploadPath,
  { content, traffic }: Pushing,
): Promise<FastifyReply> {
  const digest = checkDigest(readQuery(request.query).digest)
  findUpload(path, content)
  if (declaredLength(request.raw) !== 0) await append(request, path, content, algorithmOf(digest))
  traffic.countPushedBytes(await content.uploads.finish(path.repository, path.id, digest))
  return sendCreated(reply, path.repository, digest)
}

/** `DELETE …/blobs/uploads/<id>` */
export async function cancelUpload(
  reply: FastifyReply,
  path: UploadPath,
  content: WritableContent,
): Promise<FastifyReply> {
  await content.uploads.cancel(path.repository, path.id)
  return reply.code(204).send()
}

async function takeWhole(
  request: FastifyRequest,
  repository: string,
  digest: Digest,
  { uploads }: WritableContent,
): Promise<number> {
  const { id } = uploads.create(repository, algorithmOf(digest))
  try {
    await uploads.append(repository, id, request.raw, { length: declaredLength(request.raw) })
    return await uploads.finish(repository, id, digest)
  } catch (error) {
    // Nobody was told of the session, so nobody can go on with it.
    if (uploads.find(repository, id)) await uploads.cancel(repository, id)
    throw error
  }
}

async function append(
  request: FastifyRequest,
  { repository, id }: UploadPath,
  { uploads }: WritableContent,
  algorithm?: DigestAlgorithm,
): Promise<UploadStatus> {
  const range = readChunkRange(request.raw)
  const length = range ? range.last - range.first + 1 : declaredLength(request.raw)
  try {
    return await uploads.append(repository, id, request.raw, {
      start: range?.first,
      length,
      ...(algorithm === undefined ? {} : { algorithm }),
    })
  } catch (error) {
    if (error instanceof UploadError && error.code === 'OUT_OF_ORDER') {
      const status = uploads.find(repository, id)
      throw new RegistryFault(416, 'BLOB_UPLOAD_INVALID', error.message, {
        detail: { offset: status?.offset },
        headers: status ? statusHeaders(repository, status) : {},
      })
    }
    throw error
  }
}

/** Shows a blob of another repository in this one. Answers false where it can't, and the client then pushes it. */
async function mountBlob(
  repository: string,
  digest: Digest,
  from: string | undefined,
  { content, mayPull }: { readonly content: WritableContent; readonly mayPull: (from: string) => Promise<boolean> },
): Promise<boolean> {
  const sources = from === undefined ? content.repositoriesWith(digest, maxMountSources) : [from]
  for (const source of sources) {
    const size = content.blobSize(source, digest)
    if (size === undefined || !(await mayPull(source))) continue
    try {
      content.shareBlob(repository, { digest, size })
      return true
    } catch (error) {
      if (!(error instanceof ImageError) || error.code === 'NO_SPACE') throw error
      return false // its file is missing or spoilt: a push heals that
    }
  }
  return false
}

function findUpload({ repository, id }: UploadPath, content: WritableContent): UploadStatus {
  const status = content.uploads.find(repository, id)
  if (status) return status
  throw new RegistryFault(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload here: begin a new one', {
    detail: { name: repository },
  })
}

function sendStatus(reply: FastifyReply, repository: string, status: UploadStatus): FastifyReply {
  return reply.headers(statusHeaders(repository, status)).header('content-length', 0).send()
}

/** Of an empty session the range is `0-0`, too: that is what clients can read. */
function statusHeaders(repository: string, { id, offset }: UploadStatus): Record<string, string> {
  return {
    location: `/v2/${repository}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, offset - 1)}`,
    'docker-upload-uuid': id,
  }
}

function sendCreated(reply: FastifyReply, repository: string, digest: Digest): FastifyReply {
  return reply
    .code(201)
    .headers({ location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest, 'content-length': 0 })
    .send()
}

function readQuery(query: unknown): Static<typeof BeginQuery> {
  if (beginQuery.check(query)) return query
  throw new RegistryFault(400, 'UNSUPPORTED', 'digest, mount, from and digest-algorithm may be there once each')
}

function checkDigest(text: string | undefined): Digest {
  if (text !== undefined && isDigest(text)) return text
  throw new RegistryFault(400, 'DIGEST_INVALID', 'a digest is needed: sha256:<64 hex> or sha512:<128 hex>')
}

function checkAlgorithm(text: string | undefined): DigestAlgorithm {
  if (text === undefined || text === 'sha256' || text === 'sha512') return text ?? 'sha256'
  throw new RegistryFault(400, 'UNSUPPORTED', 'digests here are of sha256 or sha512')
}
