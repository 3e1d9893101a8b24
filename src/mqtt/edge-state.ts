/**
 * The edge says that it is there, and how it is: once per connection, and when something changed. An idle site sends nothing.
 * The counterpart is the last will, which the broker publishes when the connection breaks. specs: plan contract, "Topics".
 */
import type { BrokerConnection } from './connection.ts'
import { type LinkError, toLinkError } from './link-error.ts'

export interface EdgeStateOptions {
  readonly connection: BrokerConnection
  readonly topic: string
  readonly edge: string
  /** What there is to say beside being online; compared as JSON. `storage` changes while nothing else happens here, and is no news then. */
  readonly document: () => { readonly storage?: unknown }
  /** Milliseconds between two looks at the document. */
  readonly intervalMs: number
  readonly now: () => number
  readonly onProblem: (problem: LinkError | undefined) => void
}

/** How often new figures of the storage are worth a message of their own: others fill the same disk, and an idle edge sends next to nothing. */
const storageEveryMs = 60 * 60_000

/** The retained document of an edge that is not there. As last will it has no `at`: only the broker knows when. */
export function offlineDocument(edge: string, at?: number): string {
  return JSON.stringify({ edge, online: false, ...(at === undefined ? {} : { at: new Date(at).toISOString() }) })
}

export class EdgeState {
  readonly #options: EdgeStateOptions
  #said = ''
  #saidStorage: string | undefined
  #saidAt = 0
  #sending = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: EdgeStateOptions) {
    this.#options = options
  }

  start(): void {
    void this.#say()
    this.#timer = setInterval(() => void this.#say(), this.#options.intervalMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Says goodbye. @throws LinkError when the broker did not take it. */
  async sayOffline(): Promise<void> {
    const { connection, topic, edge, now } = this.#options
    this.stop()
    await connection.publish({ topic, payload: offlineDocument(edge, now()), retain: true })
  }

  async #say(): Promise<void> {
    const { connection, topic, edge, document, now, onProblem } = this.#options
    if (this.#sending) return
    this.#sending = true
    try {
      const { storage, ...facts } = document()
      const [text, figures, at] = [JSON.stringify(facts), JSON.stringify(storage), now()]
      if (text === this.#said && !this.#isNews(figures, at)) return
      const state = { edge, online: true, at: new Date(at).toISOString(), ...facts, storage }
      await connection.publish({ topic, payload: JSON.stringify(state), retain: true })
      this.#said = text
      this.#saidStorage = figures
      this.#saidAt = at
      onProblem(undefined)
    } catch (error) {
      if (!connection.over) onProblem(toLinkError(error, 'the state of the edge'))
    } finally {
      this.#sending = false
    }
  }

  /** Whether the figures are news by themselves; the first ones are, and a clock that was put back keeps none from being told. */
  #isNews(figures: string | undefined, at: number): boolean {
    if (figures === this.#saidStorage) return false
    return this.#saidStorage === undefined || Math.abs(at - this.#saidAt) >= storageEveryMs
  }
}
