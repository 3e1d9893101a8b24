/** What can be done with a cleanup policy alone: see what it would take, and let it take it. Contract, "ImageCleanupPolicy". */
import { Type } from 'typebox'
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
        tag: Type.Union([Type.String(), Type.Null()]),
        digest: Type.String(),
        action: Type.Enum(['keep', 'remove']),
        reason: Type.String({ description: 'Why it is kept or removed' }),
      }),
    ),
    bytesFreed: Type.Integer({ minimum: 0, description: 'Bytes of the content that nothing else needs' }),
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
      return reply.send({ ...report, items: [...report.items] })
    },
  )
  app.post(
    `${path}/run`,
    { schema: { tags, summary: 'Remove what it says, now', params: NameParams, response } },
    async (request, reply) => {
      const { name } = request.params
      const namespace = oneNamespace(request.params.namespace)
      const by = gate.enter(request, 'policies:sync', { resource, namespace, name })
      const report = await face.policies.run(namespace, name, by, signalOf(reply, runTimeoutMs))
      return reply.send({ ...report, items: [...report.items] })
    },
  )
}
