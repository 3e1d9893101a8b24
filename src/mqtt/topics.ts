/**
 * The names of the topics, both ways. specs: plan contract, "Topics".
 */
import type { Scope } from '../state/plans.ts'

/** Which plans a message on a plan's topic is about. */
export interface PlanTopic {
  /** `edge`: the edge's own plans; `group:<name>`: those of a group. */
  readonly scope: Scope
  /** The plan's name as the topic says it: not checked. */
  readonly name: string
}

/** All topics of one edge. */
export class Topics {
  readonly #prefix: string
  readonly #edge: string
  readonly #groups: ReadonlySet<string>

  constructor(prefix: string, edge: string, groups: readonly string[]) {
    this.#prefix = prefix
    this.#edge = edge
    this.#groups = new Set(groups)
  }

  /** The filters to subscribe to: the edge's own plans first, then every group's. */
  get filters(): readonly string[] {
    return [
      `${this.#prefix}/edges/${this.#edge}/plans/+`,
      ...[...this.#groups].map(group => `${this.#prefix}/groups/${group}/plans/+`),
    ]
  }

  /** Where the edge says that it is there. */
  get state(): string {
    return this.below('state')
  }

  /** `plans/shop/status` -> `mecm/v1/edges/sh-01/plans/shop/status`. */
  below(suffix: string): string {
    return `${this.#prefix}/edges/${this.#edge}/${suffix}`
  }

  /** What a message's topic is about, or undefined for one that this edge has no business with. */
  parse(topic: string): PlanTopic | undefined {
    if (!topic.startsWith(`${this.#prefix}/`)) return undefined
    const [kind, owner, plans, name, ...rest] = topic.slice(this.#prefix.length + 1).split('/')
    if (owner === undefined || plans !== 'plans' || !name || rest.length > 0) return undefined
    if (kind === 'edges' && owner === this.#edge) return { scope: 'edge', name }
    if (kind === 'groups' && this.#groups.has(owner)) return { scope: `group:${owner}`, name }
    return undefined
  }
}

/** The filter that an unexpected message must have come through: a session can outlive the configuration that made it. */
export function filterOf(topic: string): string {
  return `${topic.slice(0, topic.lastIndexOf('/') + 1)}+`
}
