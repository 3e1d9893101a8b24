/**
 * Why an image is not here, in words and in figures: which plans want it, and what each waits for. Plans.why gathers it; the API adds
 * what is here (http/api/why-route.ts).
 */
import { type Static, Type } from 'typebox'
import { formatReference, formatTarget, parseReference } from '../oci/reference.ts'
import type { ImageRequest, TransferEngine } from '../transfer/engine.ts'
import type { LastError, Standing } from './line.ts'
import type { Plan } from './plan.ts'
import {
  formatTime,
  ImageStatusSchema,
  isTerminal,
  joinTexts,
  PhaseSchema,
  type PlanStatus,
  PlanStatusSchema,
  QuoteSchema,
} from './status.ts'

const TextOrNull = Type.Union([Type.String(), Type.Null()])

export const PlanWhySchema = Type.Object({
  plan: Type.String(),
  revision: PlanStatusSchema.properties.revision,
  phase: PhaseSchema,
  reason: PlanStatusSchema.properties.reason,
  message: TextOrNull,
  hint: TextOrNull,
  since: Type.String({ description: 'When it entered its phase' }),
  position: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
    description: '1: its turn is next; null: it does not wait for its turn',
  }),
  nextTryAt: TextOrNull,
  failures: Type.Integer({ minimum: 0, description: 'Tries without gain, in a row' }),
  lastError: Type.Union([
    Type.Object({
      at: Type.String(),
      code: Type.String(),
      message: Type.String(),
      hint: Type.String(),
      target: TextOrNull,
    }),
    Type.Null(),
  ]),
  readyBy: TextOrNull,
  quote: Type.Union([QuoteSchema, Type.Null()]),
  space: Type.Union(
    [Type.Object({ needed: Type.Integer(), free: Type.Integer(), missing: Type.Integer({ minimum: 0 }) }), Type.Null()],
    { description: 'Bytes on the disk, while something is still to come; null where that is not known' },
  ),
  link: Type.Array(Type.String(), { description: 'What holds for its transfers now: window, budget, rates' }),
  hosts: Type.Array(Type.String(), { description: 'Where its images can be had' }),
  images: Type.Array(ImageStatusSchema),
})
/** How one plan stands that wants an image. */
export type PlanWhy = Static<typeof PlanWhySchema>

export interface WhyFacts {
  readonly status: PlanStatus
  /** Undefined once it is withdrawn, or where it was never taken. */
  readonly plan: Plan | undefined
  readonly standing: Standing | undefined
  readonly engine: TransferEngine
}

/** Images of a plan that are told of one by one. */
const maxImages = 100

/** How a plan stands. @param wants which of its images are asked about. */
export async function explainPlan(facts: WhyFacts, wants: (at: number) => boolean): Promise<PlanWhy> {
  const { status, plan, standing, engine } = facts
  const ended = isTerminal(status.phase)
  const requests = (plan?.images ?? []).filter((_, at) => wants(at))
  const hosts = ended ? [] : [...new Set(requests.flatMap(request => engine.hostsOf(request)))]
  const { plan: name, revision, phase, reason, message, hint, at, quote } = status
  return {
    ...{ plan: name, revision, phase, reason, message, hint, quote },
    since: at,
    position: standing?.position ?? null,
    nextTryAt: standing?.nextTryAt === undefined ? null : formatTime(standing.nextTryAt),
    failures: standing?.failures ?? 0,
    lastError: describeLast(standing?.lastError),
    readyBy: plan?.readyBy === undefined ? null : formatTime(plan.readyBy),
    space: ended ? null : await spaceOf(status, engine),
    link: plan === undefined || ended ? [] : [...engine.link.explain(plan, hosts)],
    hosts,
    images: status.images.filter((_, index) => wants(index)).slice(0, maxImages),
  }
}

/** The plan's standing as sentences. */
export function sayPlan(why: PlanWhy): string[] {
  const { plan, phase, reason, message, hint, position, nextTryAt, failures, lastError, readyBy, quote } = why
  const wants = phase === 'Withdrawn' ? 'does not want it any more' : 'wants it'
  const says = [`the plan ${plan} ${wants}: ${phase}${reason === null ? '' : ` (${reason})`} since ${why.since}`]
  if (message !== null) says.push(message)
  if (position !== null) says.push(position === 1 ? 'its turn is next' : `${position - 1} plans come before it`)
  if (why.space !== null && why.space.missing > 0) {
    says.push(
      `${why.space.missing} bytes of disk are missing: it needs ${why.space.needed}, ${why.space.free} are free`,
    )
  }
  if (!isTerminal(phase)) says.push(...why.link)
  for (const image of why.images)
    if (image.error !== null && !message?.includes(image.error)) says.push(`${image.target}: ${image.error}`)
  if (lastError !== null && !message?.includes(lastError.message)) {
    const where = lastError.target === null ? '' : ` at ${lastError.target}`
    says.push(`last error${where}, ${lastError.at}: ${lastError.code}: ${lastError.message}`)
  }
  if (nextTryAt !== null) says.push(`the next try is at ${nextTryAt}, after ${failures} without gain`)
  if (readyBy !== null) says.push(`it is wanted by ${readyBy}`)
  if (quote !== null && quote.readyAt !== null && !isTerminal(phase)) says.push(`ready at about ${quote.readyAt}`)
  const what = hint ?? lastError?.hint
  if (what !== undefined && !(phase === 'Ready')) says.push(`what to do: ${what}`)
  return says
}

/**
 * Whether an image of a plan is what people mean by a name: its target or its source, with or without the tag; a digest.
 * Gives a test for requests.
 */
export function namedBy(name: string): (request: ImageRequest, digest: string | null) => boolean {
  const full = readReference(name)
  return ({ source, target }, digest) =>
    [
      formatTarget(target),
      target.repository,
      formatReference(source),
      `${source.registry}/${source.repository}`,
    ].includes(name) ||
    (full !== undefined && formatReference(source) === full) ||
    (digest !== null && (name === digest || name === `${target.repository}@${digest}`))
}

function readReference(text: string): string | undefined {
  try {
    return formatReference(parseReference(text))
  } catch {
    return undefined
  }
}

function describeLast(error: LastError | undefined): PlanWhy['lastError'] {
  if (error === undefined) return null
  const { at, code, message, hint, target = null } = error
  return { at: formatTime(at), code, message: joinTexts([message]), hint, target }
}

/** What is still to be written against what is free. */
async function spaceOf({ quote, bytes }: PlanStatus, engine: TransferEngine): Promise<PlanWhy['space']> {
  if (quote === null) return null
  const needed = Math.max(0, Math.min(quote.bytesPeakDisk, quote.bytesMissing - bytes.done))
  const free = await engine.freeBytes()
  return free === undefined ? null : { needed, free, missing: Math.max(0, needed - free) }
}
