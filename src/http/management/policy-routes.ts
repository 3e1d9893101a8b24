/** What can be done with a cleanup policy alone: see what it would take, and let it take it. Contract, "ImageCleanupPolicy". */
import { Type } from 'typebox'
import type { Right } from '../../access/roles.ts'
import { type CleanupSpec, policyNamespaces } from '../../management/lifecycle/decide.ts'
import type { CleanupReport } from '../../management/lifecycle/policies.ts'
import type { Need } from './gate.ts'
import { NameParams, oneNamespace } from './query.ts'
import { cleanupPolicies as resource } from './resources.ts'
import { errors } from './schemas.ts'
import { type Scope, signalOf } from './scope.ts'

/** A large registry is looked through; what has not ended by then is done by the next run. */
const runTimeoutMs = 10 * 60_000

const tags = [resource.plural]
const path = `/namespaces/:namespace/${resource.plural}/:name`

const ReportSchema = Type.Object(
  {
    items: Type.Array(
      Type.Object({
        repository: Type.String(),
        tag: Type.String(),
        digest: Type.String(),
        action: Type.Enum(['keep', 'remove']),
        reason: Type.String({ description: 'Why it is kept or removed' }),
      }),
    ),
    bytesFreed: Type.Integer({ minimum: 0, description: 'Bytes of the content that nothing else needs' }),
    notes: Type.Array(Type.String(), { description: "What can't be done with the local registry" }),
  },
  { title: 'CleanupReport' },
)

export function addPolicyRoutes({ app, gate, face }: Scope): void {
  const response = { 200: ReportSchema, ...errors(404, 409) }
  app.post(
    `${path}/dry-run`,
    {
      schema: {
        tags,
        summary: 'What a run would remove now, with the reason for every image, and the bytes that it would free',
        params: NameParams,
        response,
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      gate.enter(request, 'policies:read', { resource, namespace, name })
      const report = await face.policies.dryRun(namespace, name, signalOf(reply, runTimeoutMs))
      return reply.send(toAnswer(report))
    },
  )
  app.post(
    `${path}/run`,
    { schema: { tags, summary: 'Remove what it says, now', params: NameParams, response } },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, 'policies:sync', { resource, namespace, name })
      const { spec } = face.policies.get(namespace, name)
      gate.enterAll(request, needsOfPolicy('policies:sync', { spec, namespace, name }))
      const report = await face.policies.run(namespace, name, by, signalOf(reply, runTimeoutMs))
      return reply.send(toAnswer(report))
    },
  )
}

/** A policy may remove the images of other namespaces: whoever creates or runs it needs the right in each. */
export function needsOfPolicy(right: Right, policy: { spec: CleanupSpec; namespace: string; name: string }): Need[] {
  const { spec, namespace: own, name } = policy
  return policyNamespaces(spec, own).map(namespace => ({ right, resource, namespace, name }))
}

function toAnswer({ items, bytesFreed, notes }: CleanupReport) {
  return { items: [...items], bytesFreed, notes: [...notes] }
}
