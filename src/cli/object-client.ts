/** Objects of every kind through the running agent's API: listed, read, applied, deleted. Used by `get`, `describe`, `apply`, `delete`. */
import { type Static, Type } from 'typebox'
import { StatusSchema } from '../http/management/status.ts'
import { apiVersion } from '../management/kinds.ts'
import { labelSelectorForm, matchesLabels, parseLabelSelector } from '../management/label-selector.ts'
import { Shape } from '../oci/shape.ts'
import type { PlanDocument } from '../plans/schema.ts'
import type { PlanStatus } from '../plans/status.ts'
import type { LabelCondition } from '../state/managed-objects.ts'
import { type Answer, type ApiClient, ApiFailure } from './api-client.ts'
import { CliError } from './cli-error.ts'
import type { Kind } from './kinds.ts'

const Texts = Type.Optional(Type.Record(Type.String(), Type.String()))
const Fields = Type.Optional(Type.Record(Type.String(), Type.Unknown()))
const ObjectSchema = Type.Object({
  apiVersion: Type.String(),
  kind: Type.String(),
  metadata: Type.Object({
    name: Type.String(),
    namespace: Type.Optional(Type.String()),
    creationTimestamp: Type.Optional(Type.String()),
    annotations: Texts,
    labels: Texts,
  }),
  spec: Fields,
  status: Fields,
})
/** An object of any kind, as it is read. */
export type ReadObject = Static<typeof ObjectSchema>

const object = new Shape(ObjectSchema)
const page = new Shape(Type.Object({ items: Type.Array(ObjectSchema), totalItems: Type.Integer() }))
const failure = new Shape(StatusSchema)

/** Objects that one call brings. */
const pageSize = 500
const basePath = `/oapis/${apiVersion}/namespaces`

export type ApplyOutcome = 'created' | 'configured' | 'unchanged'

export interface Where {
  /** `_all_` for every namespace. */
  readonly namespace: string
  readonly labels?: string
}

/** The agent refuses; `reason` is the word of its Status. */
export class Refusal extends CliError {
  readonly reason: string
  readonly problems: readonly string[]

  constructor({ reason, message, details }: Static<typeof StatusSchema>, hint?: string) {
    const problems = (details.causes ?? []).map(cause => [cause.field, cause.message].filter(Boolean).join(': '))
    super(problems.length > 1 ? `${problems.length} problems` : message, hint === undefined ? {} : { hint })
    this.reason = reason
    this.problems = problems.length > 1 ? problems : []
  }
}

export class ObjectClient {
  readonly #api: ApiClient

  constructor(api: ApiClient) {
    this.#api = api
  }

  /** Every object, by namespace and name. @throws CliError for labels that are no selector. */
  async list(kind: Kind, { namespace, labels }: Where): Promise<ReadObject[]> {
    const conditions = conditionsOf(labels)
    if (!kind.namespaced) {
      const plans = (await this.#api.listPlans()).map(status => toObject(status))
      return plans.filter(({ metadata }) => matchesLabels(metadata.labels ?? {}, conditions))
    }
    const items: ReadObject[] = []
    for (let number = 1; ; number++) {
      const query = new URLSearchParams({ page: String(number), limit: String(pageSize) })
      if (labels !== undefined) query.set('labelSelector', labels)
      const { body } = this.#accept(await this.#api.call('GET', `${pathOf(kind, namespace)}?${query}`))
      if (!page.check(body)) throw notUnderstood()
      items.push(...body.items)
      if (body.items.length === 0 || items.length >= body.totalItems) return items
    }
  }

  /** @throws Refusal `NotFound`, ApiFailure `PLAN_UNKNOWN`. */
  async get(kind: Kind, namespace: string, name: string): Promise<ReadObject> {
    if (!kind.namespaced) return toObject(await this.#api.findPlan(name), await this.#api.findPlanDocument(name))
    const { body } = this.#accept(await this.#api.call('GET', pathOf(kind, namespace, name)))
    if (object.check(body)) return body
    throw notUnderstood()
  }

  /** The last syncs of a Repository, the newest first. */
  async runs(kind: Kind, namespace: string, name: string): Promise<readonly Record<string, unknown>[]> {
    const { body } = this.#accept(await this.#api.call('GET', `${pathOf(kind, namespace, name)}/runs`))
    if (runs.check(body)) return body.items
    throw notUnderstood()
  }

  /** Creates or edits. @throws Refusal, ApiFailure. */
  async apply(kind: Kind, namespace: string, name: string, document: object): Promise<ApplyOutcome> {
    if (!kind.namespaced) return this.#applyPlan(name, document)
    const answer = await this.#api.call('PUT', pathOf(kind, namespace, name), JSON.stringify(document))
    const outcome = this.#accept(answer).headers['apply-outcome']
    if (outcome === 'created' || outcome === 'configured' || outcome === 'unchanged') return outcome
    throw notUnderstood()
  }

  /** @throws Refusal `NotFound` or `Conflict`, ApiFailure `PLAN_UNKNOWN`. */
  async delete(kind: Kind, namespace: string, name: string): Promise<void> {
    if (kind.namespaced) this.#accept(await this.#api.call('DELETE', pathOf(kind, namespace, name)))
    else await this.#api.withdrawPlan(name)
  }

  async #applyPlan(name: string, document: object): Promise<ApplyOutcome> {
    const known = await this.#knowsPlan(name)
    const { accepted } = await this.#api.submitPlan(JSON.stringify(document))
    if (!accepted) return 'unchanged'
    return known ? 'configured' : 'created'
  }

  async #knowsPlan(name: string): Promise<boolean> {
    try {
      return (await this.#api.findPlan(name)).phase !== 'Withdrawn'
    } catch (error) {
      if (error instanceof ApiFailure && error.code === 'PLAN_UNKNOWN') return false
      throw error
    }
  }

  #accept(answer: Answer): Answer {
    if (answer.statusCode < 300) return answer
    if (!failure.check(answer.body)) throw notUnderstood()
    throw new Refusal(answer.body, answer.statusCode === 401 ? this.#api.tokenHint : undefined)
  }
}

const runs = new Shape(Type.Object({ items: Type.Array(Type.Record(Type.String(), Type.Unknown())) }))

/** Whether the agent refused this object, and may well take the next; a wrong token is wrong for all of them. */
export function isAboutOne(error: unknown): error is Refusal | ApiFailure {
  if (error instanceof Refusal) return error.reason !== 'Unauthorized'
  return error instanceof ApiFailure && error.code !== 'UNAUTHORIZED'
}

/** Whether an error says that there is no such object. */
export function isNotFound(error: unknown): boolean {
  if (error instanceof Refusal) return error.reason === 'NotFound'
  return error instanceof ApiFailure && error.code === 'PLAN_UNKNOWN'
}

function pathOf({ plural }: Kind, namespace: string, name?: string): string {
  const path = `${basePath}/${encodeURIComponent(namespace)}/${plural}`
  return name === undefined ? path : `${path}/${encodeURIComponent(name)}`
}

/** A plan as an object: what was sent, where that is known, and its status. */
function toObject({ plan, ...status }: PlanStatus, document?: PlanDocument): ReadObject {
  const about = {
    apiVersion: 'image.mecm/v1',
    kind: 'DistributionPlan',
    metadata: { ...document?.metadata, name: plan },
  }
  return { ...about, ...(document ? { spec: document.spec } : {}), status }
}

/** @throws CliError for what is no selector. */
function conditionsOf(labels: string | undefined): readonly LabelCondition[] {
  const conditions = labels === undefined ? [] : parseLabelSelector(labels)
  if (conditions !== undefined) return conditions
  throw new CliError(`"${labels}" is no selector: expected ${labelSelectorForm}`, { exitStatus: 2 })
}

function notUnderstood(): CliError {
  return new CliError('what answers is no edge-image-agent of this version')
}
