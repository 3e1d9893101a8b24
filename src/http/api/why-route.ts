/** `GET /v1/why/…`: why an image is not here yet, or since when it is. For people who ask what a status leaves open. */
import { type Static, Type } from 'typebox'
import { type PlanWhy, PlanWhySchema, sayPlan } from '../../plans/why.ts'
import type { ApiInstance } from './app.ts'
import type { AgentFacts, PlansFace } from './facts.ts'
import { ErrorSchema, type HeldImage, HeldImageSchema, type UpstreamState, UpstreamStateSchema } from './shapes.ts'

export const WhySchema = Type.Object(
  {
    name: Type.String({ description: 'What was asked about' }),
    answer: Type.Enum(['here', 'wanted', 'unwanted'], {
      description:
        'here: the registry has it and no plan is at work on it; wanted: a plan is, or was until it failed; unwanted: neither',
    }),
    text: Type.Array(Type.String(), { description: 'The answer in sentences' }),
    images: Type.Array(HeldImageSchema, { description: 'What is here under that name' }),
    plans: Type.Array(PlanWhySchema),
    sources: Type.Array(UpstreamStateSchema, {
      description: 'The hosts that the plans ask, as they were since the start',
    }),
  },
  { title: 'Why' },
)
export type Why = Static<typeof WhySchema>

const imagesTimeoutMs = 10_000
/** The rest of the path is the name, which has slashes; as a property of an object, TypeBox takes `*` for a pattern. */
const NameParam = Type.Record(Type.String(), Type.String({ minLength: 1, maxLength: 1024 }))
/** Plans and images that are told of. */
const maxItems = 100

export function addWhyRoute(app: ApiInstance, facts: AgentFacts, plans: PlansFace): void {
  app.get(
    '/v1/why/*',
    {
      config: { access: 'plans:read' },
      schema: {
        tags: ['plans'],
        summary: 'Why an image, or a plan, is not here yet: the name of a plan, a reference, a target or a digest',
        params: NameParam,
        response: { 200: WhySchema, 404: ErrorSchema },
      },
    },
    async (request, reply) => reply.send(await answer(request.params['*'] ?? '', facts, plans)),
  )
}

async function answer(name: string, facts: AgentFacts, plans: PlansFace): Promise<Why> {
  const wanting = (await plans.why(name)).slice(0, maxItems)
  const targets = new Set(wanting.flatMap(plan => plan.images.map(image => image.target)))
  const held = (await facts.images(AbortSignal.timeout(imagesTimeoutMs))).filter(
    image => namesHeld(name, image) || targets.has(`${image.repository}:${image.tag}`),
  )
  const images = held.slice(0, maxItems)
  const hosts = new Set(wanting.flatMap(plan => plan.hosts))
  const sources = facts.upstreams().filter(({ host }) => hosts.has(host))
  const wants = wanting.filter(plan => !hasLetGo(plan))
  const isMissed = wants.some(plan => plan.phase !== 'Ready')
  const kind = isMissed ? 'wanted' : images.length > 0 ? 'here' : wants.length > 0 ? 'wanted' : 'unwanted'
  const text = [
    ...images.map(sayHeld),
    ...wanting.flatMap(sayPlan),
    ...sources.flatMap(saySource),
    ...(kind === 'unwanted' && wanting.length === 0
      ? [`nothing here wants ${name}: no plan names it, and the registry does not have it`]
      : []),
  ]
  return { name, answer: kind, text, images, plans: wanting, sources }
}

/** Whether nobody waits for what the plan asked for: it was withdrawn, or other plans have all of its targets. */
function hasLetGo({ phase }: PlanWhy): boolean {
  return phase === 'Withdrawn' || phase === 'Superseded'
}

function saySource({ host, lastError, restingUntil, why }: UpstreamState): string[] {
  return [
    ...(lastError === null ? [] : [`${host}: last error at ${lastError.at}, ${lastError.code}: ${lastError.message}`]),
    ...(restingUntil === null ? [] : [`${host} is asked last until ${restingUntil}: ${why ?? 'it failed'}`]),
  ]
}

function namesHeld(name: string, { repository, tag, digest }: HeldImage): boolean {
  return [repository, `${repository}:${tag}`, `${repository}@${digest}`, digest].includes(name)
}

function sayHeld({ repository, tag, digest, updatedAt, source }: HeldImage): string {
  return `${repository}${tag === null ? '' : `:${tag}`} is here since ${updatedAt}, from ${source}: ${digest}`
}
