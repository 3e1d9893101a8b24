/**
 * The API of image management: sources, Repositories and cleanup policies, in the manner of Kubernetes. Contract: image management,
 * "Calls". Registered by api/app.ts on the agent's own port; bodies are JSON, errors are Statuses.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import {
  type RepositoryInput,
  readImageCleanupPolicy,
  readRegistrySecret,
  readRepository,
} from '../../management/documents.ts'
import { apiVersion } from '../../management/kinds.ts'
import type { ApiInstance } from '../api/app.ts'
import { addCollectionRoutes } from './collection-routes.ts'
import { answerStatuses } from './errors.ts'
import type { ManagementFace } from './face.ts'
import { Gate, type Need } from './gate.ts'
import { addPolicyRoutes, needsOfPolicy } from './policy-routes.ts'
import { addRepositoryRoutes } from './repository-routes.ts'
import { cleanupPolicies, registrySecrets, repositories } from './resources.ts'
import type { Scope } from './scope.ts'
import { addSourceRoutes } from './source-routes.ts'
import { StatusError } from './status.ts'

/** What every path of image management starts with. */
export const managementPath = `/oapis/${apiVersion}`

/** A batch of a thousand documents fits. */
const maxBodyBytes = 4 * 1024 * 1024
/** Merge patches have a type of their own, which is JSON all the same. RFC 7386; Kubernetes, "Update API objects in place". */
const jsonTypes = ['application/json', 'application/merge-patch+json', 'application/strategic-merge-patch+json']

/** Every route under {@link managementPath}. */
export async function addManagementRoutes(app: ApiInstance, face: ManagementFace, logger: Logger): Promise<void> {
  await app.register(
    async inner => {
      readJson(inner)
      answerStatuses(inner, logger)
      // Schemas describe; the rooms behind check, and list every wrong field with what was expected.
      inner.setValidatorCompiler(() => () => true)
      const scope: Scope = { app: inner, face, gate: new Gate(face.access) }
      addCollectionRoutes(scope, {
        resource: registrySecrets,
        collection: face.sources,
        read: (document, place) => readRegistrySecret(document, { ...place, providers: face.sources.providers }),
      })
      addCollectionRoutes(scope, {
        resource: repositories,
        collection: face.repositories,
        read: readRepository,
        needs: needsOfRepository,
      })
      addCollectionRoutes(scope, {
        resource: cleanupPolicies,
        collection: face.policies,
        read: readImageCleanupPolicy,
        needs: ({ metadata, spec }) => needsOfPolicy('policies:create', spec, metadata.namespace),
        editable: true,
      })
      addSourceRoutes(scope)
      addRepositoryRoutes(scope)
      addPolicyRoutes(scope)
    },
    { prefix: managementPath },
  )
}

/** A source of another namespace lends its credentials: whoever uses it must be allowed to see it. */
function needsOfRepository({ metadata, spec }: RepositoryInput): Need[] {
  const refs = [spec.registryRef, ...(spec.fallbackRefs ?? [])]
  return refs
    .filter(({ namespace }) => namespace !== metadata.namespace)
    .map(({ namespace }) => ({ right: 'sources:read', resource: registrySecrets, namespace }))
}

/** JSON alone; an empty body is none. */
function readJson(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(
    jsonTypes,
    { parseAs: 'string', bodyLimit: maxBodyBytes },
    async (_request: FastifyRequest, body: string) => {
      if (body.trim() === '') return undefined
      try {
        return JSON.parse(body)
      } catch (error) {
        throw new StatusError(400, `the body is not JSON: ${reasonOf(error)}`, { reason: 'BadRequest' })
      }
    },
  )
}

/** Without the piece of the text that V8 quotes: it may be a password. */
function reasonOf(error: unknown): string {
  const place =
    error instanceof Error ? /at position \d+(?: \(line \d+ column \d+\))?/.exec(error.message)?.[0] : undefined
  return `there is an error ${place ?? 'in it'}`
}
