/** `pull`: one pass over references from the command line, as a plan's run makes it; no broker, no daemon, no plan that stays. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { backoffMs } from '../oci/backoff.ts'
import { toImageError } from '../oci/errors.ts'
import { type PlatformFilter, parsePlatform } from '../oci/platform.ts'
import { parseReference } from '../oci/reference.ts'
import { judge } from '../plans/outlook.ts'
import type { Plan } from '../plans/plan.ts'
import { runPass } from '../plans/run.ts'
import type { Outcome, RunContext } from '../plans/run-context.ts'
import { RunReport, type Why } from '../plans/run-report.ts'
import { describeError, finishStatus, type Phase, type PlanProgress, type PlanStatus } from '../plans/status.ts'
import { LinkClosed } from '../transfer/link/obstacle.ts'
import { Engine } from './engine.ts'

export interface PullRequest {
  /** As on the command line. */
  readonly references: readonly string[]
  /** `all`, or platforms; the edge's own where absent. */
  readonly platforms?: readonly string[]
}

export interface PullOptions {
  readonly logger: Logger
  readonly version: string
  /** Ends the pull; what has arrived is kept. */
  readonly signal: AbortSignal
  onStatus(status: PlanStatus): void
  onProgress(progress: PlanProgress): void
}

/** Somebody is watching: a fault that lasts longer than these tries is told rather than waited out. */
const maxPasses = 5
const backoff = { firstMs: 1_000, maxMs: 15_000 }
const progressEveryMs = 250

/**
 * Brings images into the configured local registry and gives the last status, `Ready` or `Failed`. One image that can't be had does not
 * stop the others.
 * @throws StateError when the state folder is held by a running agent or can't be written; the signal's reason; ImageError for a
 * reference or platform that is not valid.
 */
export async function pullImages(config: Config, request: PullRequest, options: PullOptions): Promise<PlanStatus> {
  const plan = toPlan(config, request)
  const engine = await Engine.open(config, options)
  const pull = new Pull(plan, config.agent.id, engine, options)
  try {
    return await pull.run()
  } finally {
    await engine.close()
  }
}

function toPlan(config: Config, request: PullRequest): Plan {
  const platforms = readPlatforms(request.platforms)
  return {
    ...{ name: 'pull', revision: 1, issuedAt: Date.now(), notAfter: undefined, package: undefined },
    ...{ remove: [], atomic: false, priority: 50, limits: {}, withdrawn: false, notes: [] },
    images: request.references.map(parseReference).map(source => ({
      source,
      target: { repository: source.repository, ...(source.tag === undefined ? {} : { tag: source.tag }) },
      mirrors: [],
      platforms: platforms ?? config.agent.platforms,
      anyPlatform: platforms === undefined,
      referrers: true,
    })),
  }
}

function readPlatforms(texts: readonly string[] | undefined): PlatformFilter | undefined {
  if (texts === undefined) return undefined
  return texts.includes('all') ? 'all' : texts.map(parsePlatform)
}

/** One pull on its way: the passes over it, and what is told of them. */
class Pull {
  readonly #plan: Plan
  readonly #edge: string
  readonly #engine: Engine
  readonly #options: PullOptions
  readonly #report: RunReport
  #seq = 0
  #phase: Phase = 'Accepted'

  constructor(plan: Plan, edge: string, engine: Engine, options: PullOptions) {
    this.#plan = plan
    this.#edge = edge
    this.#engine = engine
    this.#options = options
    this.#report = new RunReport(plan)
  }

  async run(): Promise<PlanStatus> {
    const timer = setInterval(() => this.#options.onProgress(this.#progress()), progressEveryMs)
    try {
      const context = this.#context()
      for (let passes = 1; ; passes++) {
        const outcome = await runPass(context, this.#options.signal)
        const end = this.#endOf(outcome, passes)
        if (end) return end.phase === 'Ready' ? this.#ready(end.why) : this.#tell(end.phase, end.why)
        const wait = backoffMs(passes, backoff)
        await sleep(wait, undefined, { signal: this.#options.signal })
      }
    } finally {
      clearInterval(timer)
    }
  }

  /** A plan's status is written durably, and with it all before it; of a pull none is, and an image may have no tag. */
  #ready(why: Why): PlanStatus {
    try {
      this.#engine.state.sync()
    } catch (thrown) {
      const error = toImageError(thrown)
      return this.#tell('Failed', { reason: error.code, message: describeError(error), hint: error.hint })
    }
    return this.#tell('Ready', why)
  }

  /** How the pull ends with that outcome, or nothing when another pass follows. */
  #endOf(outcome: Outcome, passes: number): { phase: 'Ready' | 'Failed'; why: Why } | undefined {
    if (outcome.kind === 'ready') {
      return { phase: 'Ready', why: outcome.notes.length > 0 ? { message: outcome.notes.join('; ') } : {} }
    }
    if (outcome.kind === 'failed') return { phase: 'Failed', why: outcome.why }
    if (outcome.kind === 'closed') {
      // Somebody is watching, and it may be hours.
      const { code, message, hint } = new LinkClosed(outcome.obstacle)
      return { phase: 'Failed', why: { reason: code, message, hint } }
    }
    if (outcome.kind === 'superseded') throw new Error('a pull has no rival plan')
    const { reason, message, hint } = outcome
    if (reason === 'Space' || passes >= maxPasses) {
      return { phase: 'Failed', why: { reason: reason === 'Space' ? 'NO_SPACE' : 'UNAVAILABLE', message, hint } }
    }
    this.#tell('Waiting', { reason, message, hint })
    return undefined
  }

  #context(): RunContext {
    return {
      plan: this.#plan,
      engine: this.#engine.transfer,
      report: this.#report,
      published: new Map(),
      pins: new Map(),
      enter: phase => void this.#tell(phase),
      settle: () => true,
      placed: () => undefined,
      removals: () => ({ remove: [], notes: [] }),
      judge: needs => judge(this.#plan, needs, { engine: this.#engine.transfer, now: Date.now() }),
    }
  }

  #tell(phase: Phase, why: Why = {}): PlanStatus {
    this.#phase = phase
    const place = { edge: this.#edge, seq: ++this.#seq, at: Date.now() }
    const status = finishStatus(this.#report.draft(phase, why), place)
    this.#options.onStatus(status)
    return status
  }

  #progress(): PlanProgress {
    const { plan, bytes, images, quote } = this.#report
    return {
      ...{
        plan: plan.name,
        revision: plan.revision,
        edge: this.#edge,
        at: new Date().toISOString(),
        phase: this.#phase,
      },
      bytesMissing: quote?.bytesMissing ?? 0,
      bytes,
      images: images.map(({ target, phase, bytesTotal, bytesPresent, bytesDone }) => ({
        ...{ target, phase, bytesTotal, bytesPresent, bytesDone },
      })),
      ...this.#report.pace(),
    }
  }
}
