/** Plans over HTTP: the same documents and statuses as over MQTT. Plan contract, "The plan" and "Status". */
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Right } from '../../access/roles.ts'
import type { Receipt } from '../../plans/plans.ts'
import { PlanQuoteSchema } from '../../plans/quote.ts'
import { maxPlanBytes, PlanSchema, planJsonSchema } from '../../plans/schema.ts'
import { type PlanStatus, PlanStatusSchema } from '../../plans/status.ts'
import { compileValidator } from '../compilers.ts'
import type { ApiAccess } from './access.ts'
import { ApiError } from './api-error.ts'
import type { ApiInstance } from './app.ts'
import { DryRuns } from './dry-runs.ts'
import type { PlansFace } from './facts.ts'
import { ErrorSchema } from './shapes.ts'

const tags = ['plans']
const NameParam = Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }) })
const answers = { 200: PlanStatusSchema, 404: ErrorSchema }

/** `/v1/plans` and what is below it. */
export function addPlanRoutes(app: ApiInstance, plans: PlansFace, access: ApiAccess): void {
  app.removeAllContentTypeParsers()
  // Whatever its type says, or without one: clients send types unasked. What it is the intake finds out.
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: maxPlanBytes }, (_request, body, done) =>
    done(null, body),
  )
  addSubmission(app, plans, access)
  addReading(app, plans)
  addChanges(app, plans, access)
}

function addSubmission(app: ApiInstance, plans: PlansFace, access: ApiAccess): void {
  const media = { schema: PlanSchema }
  const dryRuns = new DryRuns(plans)
  app.post(
    '/v1/plans',
    {
      config: { access: 'plans:create' },
      schema: {
        tags,
        summary: 'Send a plan; with dryRun=true, ask what it would take',
        querystring: Type.Object({
          dryRun: Type.Optional(
            Type.Enum(['true', 'false'], {
              description: 'true: answers 200 with the quote; nothing is stored or begun',
            }),
          ),
        }),
        body: {
          content: {
            'application/json': media,
            'application/yaml': media,
            'application/jose': { schema: Type.String({ description: 'A plan signed as JWS, compact' }) },
          },
        },
        response: {
          202: PlanStatusSchema,
          200: Type.Union([PlanStatusSchema, PlanQuoteSchema]),
          409: ErrorSchema,
          413: ErrorSchema,
          422: ErrorSchema,
          503: ErrorSchema,
        },
      },
      // The schema above describes; the intake checks, in the same way for every way in, and lists every problem.
      validatorCompiler: route => (route.httpPart === 'body' ? () => true : compileValidator(route)),
    },
    async (request, reply) => {
      const body: unknown = request.body
      if (!Buffer.isBuffer(body)) throw new ApiError(422, 'PLAN_INVALID', 'the request has no body: send a plan', [])
      if (request.query.dryRun === 'true') return reply.code(200).send(await dryRuns.ask(body))
      const receipt = plans.receive({ via: 'http', payload: body })
      record(access, request, 'plans:create', receipt)
      const status = statusAfter(receipt, plans)
      return reply.code(receipt.outcome === 'accepted' ? 202 : 200).send(status)
    },
  )
}

function addReading(app: ApiInstance, plans: PlansFace): void {
  app.get(
    '/v1/plans',
    {
      config: { access: 'plans:read' },
      schema: { tags, summary: 'Every plan, with its status', response: { 200: Type.Array(PlanStatusSchema) } },
    },
    async (_request, reply) => reply.send(plans.list()),
  )
  app.get(
    '/v1/plans/:name',
    {
      config: { access: 'plans:read' },
      schema: { tags, summary: 'The status of one plan', params: NameParam, response: answers },
    },
    async (request, reply) => {
      const { name } = request.params
      return reply.send(plans.find(name) ?? throwUnknown(name))
    },
  )
  app.get(
    '/v1/plans/:name/document',
    {
      config: { access: 'plans:read' },
      schema: {
        tags,
        summary: 'One plan as it was sent, while it stands',
        params: NameParam,
        response: { 200: PlanSchema, 404: ErrorSchema },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      return reply.send(plans.document(name) ?? throwUnknown(name))
    },
  )
  app.get(
    '/v1/schemas/plan.json',
    {
      config: { access: 'plans:read' },
      schema: { tags, summary: 'The JSON Schema of a plan', response: { 200: Type.Object({}) } },
    },
    async (_request, reply) => reply.type('application/schema+json').send(planJsonSchema()),
  )
}

function addChanges(app: ApiInstance, plans: PlansFace, access: ApiAccess): void {
  app.delete(
    '/v1/plans/:name',
    {
      config: { access: 'plans:delete' },
      schema: { tags, summary: 'Withdraw a plan; its images stay', params: NameParam, response: answers },
    },
    async (request, reply) => {
      const { name } = request.params
      const last = plans.find(name)
      const receipt = plans.withdraw(name)
      record(access, request, 'plans:delete', receipt)
      // A plan that was only ever refused is forgotten with its withdrawal: the answer is the status it had.
      return reply.send(
        receipt.outcome === 'withdrawn' && last ? (plans.find(name) ?? last) : statusAfter(receipt, plans),
      )
    },
  )
  app.post(
    '/v1/plans/:name/retry',
    {
      config: { access: 'plans:retry' },
      schema: {
        tags,
        summary: 'Try a failed plan again',
        params: NameParam,
        response: { 202: PlanStatusSchema, ...answers },
      },
    },
    async (request, reply) => {
      const receipt = plans.retry(request.params.name)
      record(access, request, 'plans:retry', receipt)
      return reply.code(receipt.outcome === 'accepted' ? 202 : 200).send(statusAfter(receipt, plans))
    },
  )
}

/** Who asked for what to happen to which plan; what changes nothing needs no record. */
function record(access: ApiAccess, request: FastifyRequest, action: Right, { outcome, name, revision }: Receipt): void {
  if (outcome === 'unchanged') return
  const failed = outcome === 'rejected' || outcome === 'stale' || outcome === 'unknown'
  access.record(request, {
    action,
    object: { kind: 'DistributionPlan', name },
    outcome: failed ? 'failure' : 'success',
    detail: { revision, ...(failed ? { reason: outcome } : {}) },
  })
}

/** The plan's status now; an error where the receipt is one. */
function statusAfter(receipt: Receipt, plans: PlansFace): PlanStatus {
  const problems = receipt.problems ?? []
  switch (receipt.outcome) {
    case 'rejected':
      throw new ApiError(422, 'PLAN_INVALID', `the plan is not valid: ${problems[0] ?? 'no reason is known'}`, problems)
    case 'stale':
      throw new ApiError(
        409,
        'STALE_REVISION',
        problems[0] ?? `plan ${receipt.name} is known with a higher revision`,
        problems,
      )
    case 'unknown':
      return throwUnknown(receipt.name)
    case 'accepted':
    case 'unchanged':
    case 'withdrawn':
      return plans.find(receipt.name) ?? throwUnknown(receipt.name)
  }
}

function throwUnknown(name: string): never {
  throw new ApiError(404, 'PLAN_UNKNOWN', `there is no plan "${name}" on this edge`)
}
