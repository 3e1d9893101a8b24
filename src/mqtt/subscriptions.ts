/**
 * Plans come in: which topics are subscribed to, and the way of a message into the plans' intake, which stores it before
 * the broker hears that it arrived. specs: plan contract, "Topics", and "What the agent promises", 1.
 */
import type { Logger } from 'pino'
import type { Arrival } from '../plans/plans.ts'
import type { BrokerConnection } from './connection.ts'
import { LinkError } from './link-error.ts'
import { filterOf, type Topics } from './topics.ts'

export interface SubscriptionsOptions {
  readonly topics: Topics
  /** Stores a plan before it returns; throws when it could not. */
  readonly receive: (arrival: Arrival) => unknown
  readonly logger: Logger
}

/** A filter that the broker refuses. */
export interface Refusal {
  readonly filter: string
  readonly error: LinkError
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  /** Filters whose retained plans this process has been told: only new ones are needed from a session that goes on. */
  readonly #told = new Set<string>()
  /** A plan could not be stored. */
  #missed = false

  constructor(options: SubscriptionsOptions) {
    this.#options = options
  }

  /**
   * Subscribes, and asks for the retained plans of every filter that did not tell them before.
   * Resolves with the broker's refusals; the other filters stand. @throws LinkError when the connection ended.
   */
  async subscribe(
    connection: BrokerConnection,
    version: 4 | 5,
    filters: readonly string[],
  ): Promise<readonly Refusal[]> {
    // A retained plan that was not stored is not part of every broker's session: all of them are asked for again.
    if (this.#missed || !connection.sessionPresent) this.#told.clear()
    this.#missed = false
    const answers = await Promise.all(filters.map(filter => this.#ask(connection, version, filter)))
    return answers.filter(answer => answer !== undefined)
  }

  async #ask(connection: BrokerConnection, version: 4 | 5, filter: string): Promise<Refusal | undefined> {
    const told = this.#told.has(filter)
    // 3.1.1 can't subscribe without being sent every retained message; a session that goes on has the subscription anyway.
    if (told && version === 4) return undefined
    try {
      await connection.subscribe(filter, told ? 1 : 0)
      this.#told.add(filter)
      return undefined
    } catch (error) {
      this.#told.delete(filter)
      if (error instanceof LinkError && error.code === 'forbidden') return { filter, error }
      throw error
    }
  }

  /** Takes a message. When it throws, the message must stay unacknowledged. */
  take(connection: BrokerConnection, topic: string, payload: Uint8Array, retained: boolean): void {
    const plan = this.#options.topics.parse(topic)
    if (!plan) {
      this.#leave(connection, topic)
      return
    }
    try {
      this.#options.receive({ via: 'mqtt', ...plan, payload, retained })
    } catch (error) {
      this.#missed = true
      throw error
    }
  }

  /** A session can outlive the configuration that made its subscriptions, such as a group that this edge has left. */
  #leave(connection: BrokerConnection, topic: string): void {
    const filter = filterOf(topic)
    // `plans/` with nothing behind it comes through our own filter.
    if (this.#options.topics.filters.includes(filter)) return
    this.#options.logger.info({ topic, filter }, 'a message for somebody else: unsubscribing from its topic')
    connection.unsubscribe(filter).catch((error: unknown) => {
      this.#options.logger.debug({ err: error, filter }, 'could not unsubscribe')
    })
  }
}
