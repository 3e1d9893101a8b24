/** What a plan would take, without taking it: the same answer as its quote, with nothing stored or begun. Behind `plan quote` and `dryRun=true`. */
import type { Logger } from 'pino'
import { type Static, Type } from 'typebox'
import type { TransferEngine } from '../transfer/engine.ts'
import { judge } from './outlook.ts'
import type { Plan } from './plan.ts'
import { runQuote } from './run.ts'
import { RunReport } from './run-report.ts'
import { formatTime, ImageStatusSchema, joinTexts, QuoteSchema } from './status.ts'

export const PlanQuoteSchema = Type.Object(
  {
    plan: Type.String(),
    revision: Type.Integer(),
    edge: Type.String(),
    at: Type.String(),
    readyBy: Type.Union([Type.String(), Type.Null()]),
    quote: QuoteSchema,
    message: Type.Union([Type.String(), Type.Null()], {
      description: 'The verdict in numbers; null where all is well',
    }),
    images: Type.Array(
      Type.Pick(ImageStatusSchema, ['target', 'digest', 'bytesTotal', 'bytesPresent', 'source', 'error']),
    ),
  },
  { title: 'PlanQuote' },
)
export type PlanQuote = Static<typeof PlanQuoteSchema>

export interface QuoteOptions {
  readonly engine: TransferEngine
  readonly edge: string
  readonly rate: (hosts: readonly string[]) => number | undefined
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * Asks the upstreams what the plan's images are; manifests that are fetched for that may be kept.
 * @throws the signal's reason when it is aborted.
 */
export async function quotePlan(plan: Plan, options: QuoteOptions, signal: AbortSignal): Promise<PlanQuote> {
  const { engine, edge, rate, logger, now } = options
  const report = new RunReport(plan)
  const context = {
    ...{ plan, engine, report },
    ...{ published: new Map(), pins: new Map() },
    enter: () => undefined,
    settle: () => true,
    placed: () => undefined,
    removals: () => ({ remove: [], notes: [] }),
    failed: (error: Error, target?: string) => logger.debug({ plan: plan.name, target, err: error }, 'no quote'),
    judge: (needs: Parameters<typeof judge>[1]) => judge(plan, needs, { engine, now: now(), rate: rate(needs.hosts) }),
  }
  await runQuote(context, signal)
  const { quote, outlook } = report
  if (quote === null) throw new Error(`the plan ${plan.name} has no quote`)
  const lost = report.images.filter(image => image.error !== null)
  const gone = lost.some(image => image.phase === 'Failed')
  const messages = [
    ...lost.map(image => `${image.target}: ${image.error}`),
    ...(outlook?.message ? [outlook.message] : []),
  ]
  return {
    ...{ plan: plan.name, revision: plan.revision, edge, at: formatTime(now()) },
    readyBy: plan.readyBy === undefined ? null : formatTime(plan.readyBy),
    quote: {
      ...quote,
      verdict: gone ? 'Infeasible' : lost.length > 0 && quote.verdict === 'Accepted' ? 'AtRisk' : quote.verdict,
      // of what can't be had, it is not known how much it is
      readyAt: lost.length > 0 ? null : quote.readyAt,
    },
    message: messages.length > 0 ? joinTexts(messages) : null,
    images: report.images.map(({ target, digest, bytesTotal, bytesPresent, source, error }) => {
      return { target, digest, bytesTotal, bytesPresent, source, error }
    }),
  }
}
