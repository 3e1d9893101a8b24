/** Manifests by tag or digest, as they were stored. OCI distribution-spec, "Pulling manifests". */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Descriptor } from '../../oci/descriptor.ts'
import { forever, isCurrent, setContentHeaders } from './answer.ts'
import type { RegistryContent } from './content.ts'
import { RegistryFault, unknownRepository } from './fault.ts'
import type { RegistryPath } from './path.ts'
import type { Traffic } from './traffic.ts'

type ManifestPath = Extract<RegistryPath, { kind: 'manifest' }>

interface ManifestContext {
  readonly store: RegistryContent
  readonly traffic: Traffic
}

/**
 * Answers with the manifest byte for byte, whatever the request's `Accept` says: to turn an index into one of its images, or a
 * type into another, would be another digest. Readers of today take every type.
 */
export async function answerManifest(
  request: FastifyRequest,
  reply: FastifyReply,
  path: ManifestPath,
  context: ManifestContext,
): Promise<FastifyReply> {
  try {
    return await sendManifest(request, reply, path, context)
  } catch (error) {
    if (request.method !== 'HEAD') context.traffic.countFailedPull()
    throw error
  }
}

async function sendManifest(
  request: FastifyRequest,
  reply: FastifyReply,
  path: ManifestPath,
  { store, traffic }: ManifestContext,
): Promise<FastifyReply> {
  const descriptor = findDescriptor(store, path)
  if (!descriptor) throw unknownManifest(store, path)
  // At once, lest its content be collected before the reader comes for the rest.
  store.upkeep?.uses.asked(path.repository, descriptor.digest)
  setContentHeaders(reply, descriptor)
  reply.header('cache-control', 'digest' in path.reference ? forever : 'no-cache')
  if (isCurrent(request, descriptor.digest)) return reply.code(304).removeHeader('content-length').send()
  if (request.method === 'HEAD') return reply.send()
  const manifest = await store.readManifest(descriptor.digest)
  if (!manifest) throw unknownManifest(store, path)
  store.upkeep?.uses.pulled(path.repository, descriptor.digest)
  traffic.countPull()
  traffic.countBytes(manifest.bytes.byteLength)
  return reply.send(manifest.bytes)
}

function findDescriptor(store: RegistryContent, { repository, reference }: ManifestPath): Descriptor | undefined {
  if ('digest' in reference) return store.findManifest(repository, reference.digest)
  return store.findTag(repository, reference.tag)?.descriptor
}

/** For a manifest or tag that the repository doesn't show. */
export function unknownManifest(store: RegistryContent, { repository, reference }: ManifestPath): RegistryFault {
  if (!store.hasRepository(repository)) return unknownRepository(repository)
  return new RegistryFault(404, 'MANIFEST_UNKNOWN', 'the repository has no such manifest', {
    detail: { name: repository, ...reference },
  })
}
