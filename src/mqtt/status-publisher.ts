/**
 * Statuses go out: from the outbox on disk to the broker, in order, each kept until the broker has acknowledged it.
 * One of these per connection; the next connection starts again from the first that is unacknowledged, and repeats carry the same `seq`.
 */
import type { Outbox, OutboxMessage } from '../plans/outbox.ts'
import { Backoff } from './backoff.ts'
import type { BrokerConnection, Publication } from './connection.ts'
import { LinkError, toLinkError } from './link-error.ts'

export interface StatusPublisherOptions {
  readonly connection: BrokerConnection
  readonly outbox: Pick<Outbox, 'next' | 'acknowledged'>
  readonly topicOf: (suffix: string) => string
  /** How many may be unacknowledged at once. */
  readonly window: number
  /** Milliseconds between tries of a status that the broker refuses: the upper ends of the first and of every later delay. */
  readonly retry: { readonly minMs: number; readonly maxMs: number }
  /** Told of a refusal, and with undefined that it is over. */
  readonly onProblem: (problem: LinkError | undefined) => void
}

export class StatusPublisher {
  readonly #options: StatusPublisherOptions
  readonly #window: number
  /** The window, or 1 after a refusal: one status tries whether the broker has changed its mind, so that none overtakes it. */
  #room: number
  readonly #backoff: Backoff
  readonly #inFlight = new Set<number>()
  #drained = Promise.withResolvers<void>()
  #turn: NodeJS.Immediate | undefined
  #retry: NodeJS.Timeout | undefined
  #running = false

  constructor(options: StatusPublisherOptions) {
    this.#options = options
    this.#window = options.window
    this.#room = this.#window
    this.#backoff = new Backoff(options.retry)
  }

  start(): void {
    this.#running = true
    this.wake()
  }

  stop(): void {
    this.#running = false
    clearImmediate(this.#turn)
    clearTimeout(this.#retry)
    this.#drained.resolve()
  }

  /** Whether statuses wait for the broker's answer. */
  get busy(): boolean {
    return this.#inFlight.size > 0
  }

  /** There may be something new in the outbox. Cheap, and safe to call from within a transaction: the outbox is read in a later turn. */
  readonly wake = (): void => {
    if (!this.#running || this.#turn || this.#retry) return
    this.#turn = setImmediate(() => {
      this.#turn = undefined
      this.#pump()
    })
  }

  /** Resolves when nothing is left to send, or nothing can be sent now. */
  async flush(): Promise<void> {
    if (!this.#running || this.#retry) return
    this.#drained = Promise.withResolvers<void>()
    this.wake()
    await this.#drained.promise
  }

  #pump(): void {
    try {
      for (const status of this.#options.outbox.next(this.#room)) {
        if (this.#inFlight.size >= this.#room) break
        if (!this.#inFlight.has(status.seq)) void this.#send(status)
      }
    } catch (error) {
      this.#hold(toLinkError(error, 'the outbox'))
    }
    if (this.#inFlight.size === 0) this.#drained.resolve()
  }

  async #send({ seq, topic, payload, retain }: OutboxMessage): Promise<void> {
    const { connection, outbox, topicOf, onProblem } = this.#options
    this.#inFlight.add(seq)
    try {
      await publishOrShorten(connection, { topic: topicOf(topic), payload, retain })
      outbox.acknowledged(seq)
      this.#backoff.reset()
      if (!this.#retry) this.#room = this.#window
      onProblem(undefined)
    } catch (error) {
      // The next connection begins again from here; why this one ended is link.ts's to say.
      if (connection.over) this.stop()
      else this.#hold(toLinkError(error, 'the outbox'))
    } finally {
      this.#inFlight.delete(seq)
    }
    this.wake()
  }

  /** Later statuses wait with the refused one: consumers drop what comes with a lower `seq` than they have seen. */
  #hold(problem: LinkError): void {
    if (!this.#running || this.#retry) return
    this.#drained.resolve()
    this.#options.onProblem(problem)
    this.#room = 1
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.wake()
    }, this.#backoff.next())
  }
}

/** A status that the broker finds too large goes without its images, which are most of it: held back, it would hold all others. */
async function publishOrShorten(connection: BrokerConnection, status: Publication): Promise<void> {
  try {
    await connection.publish(status)
  } catch (error) {
    const payload = withoutImages(status.payload)
    if (!(error instanceof LinkError && error.code === 'too-large') || payload === undefined) throw error
    await connection.publish({ ...status, payload })
  }
}

/** The same status with no images and a message that says so; undefined for what has none to leave out. */
function withoutImages(payload: string): string | undefined {
  let status: unknown
  try {
    status = JSON.parse(payload)
  } catch {
    return undefined
  }
  if (typeof status !== 'object' || status === null || !('images' in status) || !Array.isArray(status.images))
    return undefined
  if (status.images.length === 0) return undefined
  const note = `the broker takes no larger message: ${status.images.length} images are left out here`
  const message = 'message' in status && typeof status.message === 'string' ? `${status.message}; ${note}` : note
  return JSON.stringify({ ...status, message, images: [] })
}
