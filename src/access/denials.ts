/**
 * Puts denied calls on record, without letting whoever is denied write as much as he likes: like calls within a minute are one record,
 * a minute has so many records at most, and what had none of its own is counted. Used by http/access/.
 */
import type { Logger } from 'pino'
import type { Audit, AuditEvent } from './audit.ts'

export interface DenialsOptions {
  readonly audit: Pick<Audit, 'record'>
  readonly logger: Logger
  /** Records a minute for callers that are known, and for those that are not: these must not be able to drive real records out. */
  readonly limits?: { readonly known: number; readonly anonymous: number }
}

export type Denial = Omit<AuditEvent, 'outcome'>

const windowMs = 60_000

export class Denials {
  readonly #options: Required<DenialsOptions>
  readonly #seen = { known: new Set<string>(), anonymous: new Set<string>() }
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
    const kind = denial.who === 'anonymous' ? 'anonymous' : 'known'
    const seen = this.#seen[kind]
    const { object } = denial
    const key = JSON.stringify([denial.who, denial.from, denial.action, object.kind, object.namespace, object.name])
    if (seen.has(key) || seen.size >= this.#options.limits[kind]) {
      this.#suppressed += 1
      return
    }
    seen.add(key)
    this.#record({ ...denial, outcome: 'denied' })
  }

  /** Ends the minute: one record says how many calls had none of their own. */
  flush(): void {
    const count = this.#suppressed
    this.#suppressed = 0
    this.#seen.known.clear()
    this.#seen.anonymous.clear()
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
