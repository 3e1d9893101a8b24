/**
 * Puts denied calls on record, without letting whoever is denied write as much as he likes: like calls within a minute are one record,
 * each caller has so many records a minute at most, and what had none of its own is counted. Used by http/access/.
 */
import type { Logger } from 'pino'
import type { Audit, AuditEvent } from './audit.ts'

export interface DenialsOptions {
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
  /** Records a minute for each caller that is known, and for all that are not: none can drive out the records of others. */
  readonly limits?: { readonly known: number; readonly anonymous: number }
}

export type Denial = Omit<AuditEvent, 'outcome'>

const windowMs = 60_000

export class Denials {
  readonly #options: Required<DenialsOptions>
  /** By caller: as many as there are tokens. */
  readonly #seen = new Map<string, Set<string>>()
  #suppressed = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: DenialsOptions) {
    this.#options = { limits: { known: 60, anonymous: 5 }, ...options }
  }

  /** Begins to count by the minute. */
  start(): void {
    this.#timer = setInterval(() => this.flush(), windowMs).unref()
  }

  /** Puts on record what was only counted so far. */
  stop(): void {
    clearInterval(this.#timer)
    this.flush()
  }

  /** Puts a denied call on record, or counts it. Never throws: a full disk must not turn a denial into anything else. */
  note(denial: Denial): void {
    const { who, from, action, object } = denial
    const { known, anonymous } = this.#options.limits
    const seen = this.#seen.get(who) ?? new Set()
    const key = JSON.stringify([from, action, object.kind, object.namespace, object.name])
    if (seen.has(key) || seen.size >= (who === 'anonymous' ? anonymous : known)) {
      this.#suppressed += 1
      return
    }
    this.#seen.set(who, seen.add(key))
    this.#record({ ...denial, outcome: 'denied' })
  }

  /** Ends the minute: one record says how many calls had none of their own. */
  flush(): void {
    const count = this.#suppressed
    this.#suppressed = 0
    this.#seen.clear()
    if (count === 0) return
    this.#record({
      ...{ who: 'system', action: 'login', outcome: 'denied' },
      object: { kind: 'Audit', name: 'further denied calls' },
      detail: { suppressed: count },
    })
  }

  #record(event: AuditEvent): void {
    try {
      this.#options.audit.record(event)
    } catch (error) {
      this.#options.logger.error({ err: error, who: event.who }, 'a denied call could not be put on record')
    }
  }
}
