/**
 * What arrives becomes what is wanted: checked, ordered by revision and by who sent it, and on disk before this room answers.
 * Everything here is synchronous. Plan contract, "Topics" and "What the agent promises", 1, 2, 7 and 9.
 *
 * A name has a row for each scope that sent a plan of it: the edge's own (topic, HTTP, command line) and its groups'. One of
 * them is effective, and only that one has a run and a status (effective-plans.ts).
 */
import type { Logger } from 'pino'
import type { TrustedKey } from '../oci/jws.ts'
import type { Platform } from '../oci/platform.ts'
import type { PlanRow, PlanRows, Scope, Withdrawal } from '../state/plans.ts'
import { EffectivePlans } from './effective-plans.ts'
import { type Plan, type PlanReading, readPlan } from './plan.ts'
import { isSameRefusal, refusalDraft } from './refusal.ts'
import type { PlanDocument } from './schema.ts'
import { readStatus, type StatusBook } from './status-book.ts'

/** A payload, and how it came. */
export type Arrival =
  | {
      readonly via: 'mqtt'
      readonly scope: Scope
      /** The topic's last level. */
      readonly name: string
      /** Empty: the plan is withdrawn. */
      readonly payload: Uint8Array
      /** The broker had it already, and tells it because this edge subscribes: it may have been here before. */
      readonly retained: boolean
    }
  | { readonly via: 'http'; readonly payload: Uint8Array }

/** What became of it. Whatever it says is on disk by then. */
export interface Receipt {
  readonly outcome: 'accepted' | 'unchanged' | 'stale' | 'rejected' | 'withdrawn' | 'unknown'
  /** Empty where the payload does not say it. */
  readonly name: string
  readonly revision?: number
  /** Every problem, each with its path. */
  readonly problems?: readonly string[]
}

/** Plans that stand at once. */
const maxPlans = 10_000
/** Topic levels up to this length are answered under their own name, however unusable it is. */
const maxTopicName = 512

export interface IntakeOptions {
  readonly rows: PlanRows
  readonly book: StatusBook
  readonly platforms: readonly Platform[]
  /** Whose signatures are trusted; with any, nothing else is taken. */
  readonly keys: readonly TrustedKey[]
  readonly logger: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** A plan's status has changed, so that it may have to run, or to stop. */
  readonly changed: (name: string) => void
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #effective: EffectivePlans
  /** Plans whose status changed in the transaction that is open. */
  #touched = new Set<string>()

  constructor(options: IntakeOptions) {
    const { rows, book, platforms, now } = options
    this.#options = options
    this.#effective = new EffectivePlans({ rows, book, platforms, now, touched: name => this.#touched.add(name) })
  }

  /** Checks, stores durably, then returns: the message may be acknowledged. */
  receive(arrival: Arrival): Receipt {
    if (arrival.via === 'mqtt' && arrival.payload.byteLength === 0) {
      return this.#change(() => this.#takeEmpty(arrival))
    }
    const { platforms, keys } = this.#options
    const topic = arrival.via === 'mqtt' ? { topicName: arrival.name } : {}
    const reading = readPlan(arrival.payload, { platforms, keys, ...topic })
    return this.#change(() => (reading.kind === 'plan' ? this.#take(reading, arrival) : this.#refuse(reading, arrival)))
  }

  /** Withdraws a plan on this edge, whoever sent it: every scope's. */
  withdraw(name: string): Receipt {
    return this.#change(() => {
      const standing = this.#options.rows.plansNamed(name).filter(row => row.withdrawn === null)
      for (const row of standing) this.#markWithdrawn(row, 'http')
      if (standing.length > 0) this.#effective.settle(name)
      return standing.length > 0 || this.#forgetRefusal(name)
        ? { outcome: 'withdrawn', name }
        : { outcome: 'unknown', name }
    })
  }

  /** Runs a plan once more that has failed or lost to another. */
  retry(name: string): Receipt {
    return this.#change(() => {
      const effective = this.#effective.find(name)
      const phase = this.#options.rows.status(name)?.phase
      if (effective === undefined) return { outcome: 'unknown', name }
      const { revision } = effective
      if (phase !== 'Failed' && phase !== 'Superseded') return { outcome: 'unchanged', name, revision }
      this.#effective.begin(effective)
      return { outcome: 'accepted', name, revision }
    })
  }

  /** Withdraws what groups sent that the edge has left: their topics are not heard any more. */
  leaveGroups(groups: readonly string[]): void {
    const ours = new Set<Scope>(['edge', ...groups.map((group): Scope => `group:${group}`)])
    for (const { name, scope } of this.#options.rows.standing()) {
      if (!ours.has(scope)) this.#change(() => this.#withdrawScope(name, scope, 'empty'))
    }
  }

  /** The plan of a scope, if it stands. */
  planOf(name: string, scope: Scope): Plan | undefined {
    return this.#effective.planOf(name, scope)
  }

  /** The plan as it was sent, if it stands. */
  documentOf(name: string, scope: Scope): PlanDocument | undefined {
    return this.#effective.documentOf(name, scope)
  }

  /** Writes down who loses a target now that more digests are known. Gives false when the plan itself does. */
  settleConflicts(plan: Plan, run: number): boolean {
    return this.#change(() => this.#effective.settleConflicts(plan, run))
  }

  #take(reading: Extract<PlanReading, { kind: 'plan' }>, arrival: Arrival): Receipt {
    const { plan } = reading
    const { name, revision } = plan
    const scope = arrival.via === 'mqtt' ? arrival.scope : 'edge'
    const known = this.#options.rows.plan(name, scope)
    if (known !== undefined && revision < known.revision) return this.#refuseStale(plan, known, arrival)
    if (known !== undefined && revision === known.revision && !this.#beginsAfresh(plan, known, arrival)) {
      return { outcome: 'unchanged', name, revision }
    }
    if (known === undefined && this.#options.rows.countStanding() >= maxPlans) {
      const says = { kind: 'refused', name, revision, package: plan.package } as const
      const problems = [`this edge has ${maxPlans} plans already`]
      return this.#refuse({ ...says, reason: 'Infeasible', problems }, arrival)
    }
    this.#options.rows.putPlan(
      {
        name,
        scope,
        revision,
        issuedAt: plan.issuedAt,
        document: plan.withdrawn ? null : JSON.stringify(reading.document),
        withdrawn: plan.withdrawn ? 'field' : null,
      },
      this.#options.now(),
    )
    this.#effective.settle(name, plan.withdrawn ? { scope, revision, package: plan.package } : undefined)
    return { outcome: plan.withdrawn ? 'withdrawn' : 'accepted', name, revision }
  }

  /** Whether a plan of the same revision as the known one is more than the same plan again. */
  #beginsAfresh(plan: Plan, known: PlanRow, arrival: Arrival): boolean {
    if (plan.withdrawn) return known.withdrawn !== 'field' // a publisher that withdraws need not count up
    // What was withdrawn here is still retained by the broker and comes back with every connection: that is no new wish. What
    // its own publisher withdrew by an empty payload is gone from there, so this one was sent again.
    return known.withdrawn === 'empty' || (known.withdrawn === 'http' && arrival.via === 'http')
  }

  /** Where plans have to be signed, an empty payload only cleans up behind one that was withdrawn or refused. */
  #takeEmpty(arrival: Extract<Arrival, { via: 'mqtt' }>): Receipt {
    const { name, scope } = arrival
    if (this.#options.keys.length === 0) return this.#withdrawScope(name, scope, 'empty')
    const row = this.#options.rows.plan(name, scope)
    if (row?.withdrawn === null) {
      const problems = ['a withdrawal has to be signed, too: send the plan with `withdrawn: true`']
      const says = { kind: 'refused', reason: 'Unsigned', problems, name, package: undefined } as const
      return this.#refuse({ ...says, revision: row.revision }, arrival)
    }
    if (this.#forgetRefusal(name, scope)) return { outcome: 'withdrawn', name }
    return row ? { outcome: 'unchanged', name, revision: row.revision } : { outcome: 'unknown', name }
  }

  #withdrawScope(name: string, scope: Scope, how: Withdrawal): Receipt {
    const row = this.#options.rows.plan(name, scope)
    if (row === undefined)
      return this.#forgetRefusal(name, scope) ? { outcome: 'withdrawn', name } : { outcome: 'unknown', name }
    const stood = row.withdrawn === null
    // An empty payload also lifts what `withdrawn: true` said before, so that a group's plan counts again
    if (row.withdrawn !== how) {
      this.#markWithdrawn(row, how)
      this.#effective.settle(name)
    }
    return stood
      ? { outcome: 'withdrawn', name, revision: row.revision }
      : { outcome: 'unchanged', name, revision: row.revision }
  }

  #markWithdrawn(row: PlanRow, how: Withdrawal): void {
    this.#options.rows.putPlan({ ...row, document: null, withdrawn: how }, this.#options.now())
  }

  #refuseStale(plan: Plan, known: PlanRow, arrival: Arrival): Receipt {
    const problem = `metadata.revision: ${plan.revision} is lower than ${known.revision}, which this edge has${known.withdrawn === null ? '' : ' had, and withdrawn'}`
    const refusal = {
      kind: 'refused',
      reason: 'Stale',
      problems: [problem],
      name: plan.name,
      revision: plan.revision,
      package: plan.package,
    } as const
    return { ...this.#refuse(refusal, arrival), outcome: 'stale' }
  }

  /**
   * Answers a plan that can't be taken. Over HTTP the receipt is the answer. Over MQTT it is a status, which takes the place of
   * the retained one only where that says nothing of a plan that was accepted.
   */
  #refuse(refusal: Extract<PlanReading, { kind: 'refused' }>, arrival: Arrival): Receipt {
    const { reason, problems, revision } = refusal
    const name = arrival.via === 'mqtt' ? arrival.name : (refusal.name ?? '')
    const receipt: Receipt = { outcome: 'rejected', name, problems, ...(revision === undefined ? {} : { revision }) }
    this.#options.logger.warn({ plan: name.slice(0, maxTopicName), via: arrival.via, reason, problems }, 'plan refused')
    if (arrival.via === 'http' || name === '' || name.length > maxTopicName) return receipt
    const { rows, book } = this.#options
    const draft = refusalDraft({ ...refusal, name }, reason, problems)
    const row = rows.status(name)
    // With every connection a broker tells again what it keeps; its answer is kept there, too.
    if (arrival.retained && row?.phase === 'Rejected' && isSameRefusal(readStatus(row), draft)) return receipt
    if (row !== undefined && row.phase !== 'Rejected') book.refuse(draft)
    else book.begin(draft, { run: rows.next('run'), scope: arrival.scope })
    return receipt
  }

  /** An empty payload takes back a plan that was refused, too. */
  #forgetRefusal(name: string, scope?: Scope): boolean {
    const row = this.#options.rows.status(name)
    if (row?.phase !== 'Rejected' || (scope !== undefined && row.scope !== scope)) return false
    this.#effective.endWithdrawn(name)
    return true
  }

  /** One transaction; the queue hears of it after the commit. */
  #change<T>(work: () => T): T {
    this.#touched = new Set()
    const result = this.#options.book.write(work)
    for (const name of this.#touched) this.#options.changed(name)
    return result
  }
}
