/**
 * Statuses and progress as they happen, as server-sent events, for consoles and `plan submit --wait`.
 * WHATWG HTML, "Server-sent events".
 */
import type { ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { PlanProgress, PlanStatus } from '../../plans/status.ts'
import type { PlansFace } from './facts.ts'

export interface EventStreamsOptions {
  readonly events: PlansFace['events']
  readonly logger: Logger
  /** Between two signs of life, in milliseconds. Proxies cut what is silent for a minute. */
  readonly heartbeatMs?: number
  /** Bytes that may wait for one client; one that is slower is dropped. */
  readonly maxWaitingBytes?: number
  readonly maxClients?: number
}

/** Whether a client may go on listening: asked before everything that is sent. */
export type Welcome = () => boolean

export class EventStreams {
  readonly #options: Required<EventStreamsOptions>
  readonly #clients = new Map<ServerResponse, Welcome>()
  #heartbeat: NodeJS.Timeout | undefined

  constructor(options: EventStreamsOptions) {
    this.#options = { heartbeatMs: 15_000, maxWaitingBytes: 256 * 1024, maxClients: 32, ...options }
  }

  /** Clients that are listening. */
  get size(): number {
    return this.#clients.size
  }

  /** Begins to pass events on. */
  start(): void {
    this.#options.events.on('status', this.#onStatus)
    this.#options.events.on('progress', this.#onProgress)
    this.#heartbeat = setInterval(() => this.#send(': still here\n\n'), this.#options.heartbeatMs).unref()
  }

  /** Ends every stream. */
  stop(): void {
    this.#options.events.off('status', this.#onStatus)
    this.#options.events.off('progress', this.#onProgress)
    clearInterval(this.#heartbeat)
    for (const client of this.#clients.keys()) client.end()
    this.#clients.clear()
  }

  /**
   * Takes a client in, from the head of its response on; its stream ends when it is not welcome any more. Answers false, and does
   * nothing, when there are too many.
   */
  add(client: ServerResponse, welcome: Welcome = () => true): boolean {
    if (this.#clients.size >= this.#options.maxClients) return false
    client.once('close', () => this.#clients.delete(client))
    client.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    client.write('retry: 3000\n\n') // how long a browser waits before it connects again
    this.#clients.set(client, welcome)
    return true
  }

  readonly #onStatus = (status: PlanStatus) =>
    this.#send(`event: status\nid: ${status.seq}\ndata: ${JSON.stringify(status)}\n\n`)

  readonly #onProgress = (progress: PlanProgress) =>
    this.#send(`event: progress\ndata: ${JSON.stringify(progress)}\n\n`)

  #send(event: string): void {
    for (const [client, welcome] of this.#clients) {
      if (!welcome()) {
        this.#clients.delete(client)
        client.end()
        continue
      }
      client.write(event)
      const waitingBytes = client.writableLength
      if (waitingBytes <= this.#options.maxWaitingBytes) continue
      this.#clients.delete(client)
      client.destroy()
      this.#options.logger.warn({ waitingBytes }, 'a client of /v1/events was too slow: dropped')
    }
  }
}
