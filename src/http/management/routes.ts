/**
 * The API of image management: sources, Repositories and cleanup policies, in the manner of Kubernetes. Contract: image management,
 * "Calls". Registered by api/app.ts on the agent's own port; bodies are JSON, errors are Statuses.
 */
import type { Logger } from 'pino'
import {
  type RepositoryInput,
  readImageCleanupPolicy,
  readRegistrySecret,
  readRepository,
} from '../../management/documents.ts'
import { apiVersion } from '../../management/kinds.ts'
import type { ApiInstance } from '../api/app.ts'
import { readJson } from '../api/json-scope.ts'
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

/** What the paths of every group and version start with. */
export const groupsPath = '/oapis'

/** What every path of image management starts with. */
export const managementPath = `${groupsPath}/${apiVersion}`

/** A batch of a thousand documents fits. */
const maxBodyBytes = 4 * 1024 * 1024

/** Every route under {@link managementPath}; what else is asked for under {@link groupsPath} is answered in the same form. */
export async function addManagementRoutes(app: ApiInstance, face: ManagementFace, logger: Logger): Promise<void> {
  await app.register(
    async outer => {
      answerStatuses(outer, logger)
      await outer.register(async inner => addRoutes(inner, face), { prefix: `/${apiVersion}` })
    },
    { prefix: groupsPath },
  )
}

function addRoutes(inner: ApiInstance, face: ManagementFace): void {
  readJson(inner, maxBodyBytes, message => new StatusError(400, message, { reason: 'BadRequest' }))
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
    needs: ({ metadata, spec }) => needsOfPolicy('policies:create', { ...metadata, spec }),
    editable: true,
  })
  addSourceRoutes(scope)
  addRepositoryRoutes(scope)
  addPolicyRoutes(scope)
}

/** A source of another namespace lends its credentials: whoever uses it must be allowed to see it. */
function needsOfRepository({ metadata, spec }: RepositoryInput): Need[] {
  const refs = [spec.registryRef, ...(spec.fallbackRefs ?? [])]
  return refs
    .filter(({ namespace }) => namespace !== metadata.namespace)
    .map(({ namespace, name }) => ({ right: 'sources:read', resource: registrySecrets, namespace, name }))
}
