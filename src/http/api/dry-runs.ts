/** `POST /v1/plans?dryRun=true`: a few at once, and not for ever, since each asks upstreams. Used by plan-routes.ts. */
import type { PlanQuote } from '../../plans/quote.ts'
import { ApiError } from './api-error.ts'
import type { PlansFace } from './facts.ts'

/** How long upstreams may take to say what a plan's images are, in milliseconds: shorter than our command line waits. */
const timeoutMs = 25_000
const atOnce = 4

export class DryRuns {
  readonly #plans: Pick<PlansFace, 'quote'>
  #running = 0

  constructor(plans: Pick<PlansFace, 'quote'>) {
    this.#plans = plans
  }

  /** @throws ApiError when the plan is not valid, the upstreams do not answer in time, or others are asking already. */
  async ask(payload: Uint8Array): Promise<PlanQuote> {
    if (this.#running >= atOnce) throw new ApiError(503, 'UNAVAILABLE', `${atOnce} quotes are on their way already`)
    this.#running += 1
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const answer = await this.#plans.quote(payload, signal)
      if (answer.kind === 'quote') return answer.quote
      const [problem = 'no reason is known'] = answer.problems
      throw new ApiError(422, 'PLAN_INVALID', `the plan is not valid: ${problem}`, answer.problems)
    } catch (error) {
      if (!signal.aborted || error instanceof ApiError) throw error
      throw new ApiError(503, 'UNAVAILABLE', `the sources did not say within ${timeoutMs / 1000} s what the images are`)
    } finally {
      this.#running -= 1
    }
  }
}
