/**
 * The demo's upstream: the agent's own read side over content in memory, behind a meter that counts what crosses the link and
 * keeps it to a pace, so that there is progress to see.
 */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { RegistryServer } from '../src/http/registry/server.ts'
import { MemoryContent } from '../test/fixtures/memory-content.ts'
import type { Application } from './applications.ts'

/** One request that crossed the link, and how many bytes its answer has brought. */
export interface Crossing {
  readonly path: string
  bytes: number
}

export class Upstream {
  readonly #content = new MemoryContent()
  readonly #registry = new RegistryServer({
    store: this.#content,
    listen: '127.0.0.1:0',
    logger: pino({ level: 'silent' }),
  })
  readonly #meter: http.Server
  readonly #bytesPerSecond: number
  readonly #crossings: Crossing[] = []
  /** When the link is free again, in milliseconds of `performance.now()`. */
  #freeAt = 0

  constructor(options: { readonly bytesPerSecond: number }) {
    this.#bytesPerSecond = options.bytesPerSecond
    this.#meter = http.createServer((request, response) => this.#forward(request, response))
  }

  async start(): Promise<void> {
    await this.#registry.start()
    this.#meter.listen(0, '127.0.0.1')
    await once(this.#meter, 'listening')
  }

  async stop(): Promise<void> {
    this.#meter.closeAllConnections()
    this.#meter.close()
    await this.#registry.stop()
  }

  /** `127.0.0.1:port`, as it stands in a plan. */
  get host(): string {
    const address = this.#meter.address()
    return address !== null && typeof address === 'object' ? `127.0.0.1:${address.port}` : ''
  }

  push({ repository, sample, tag }: Application): void {
    this.#content.add(repository, sample, tag)
  }

  /** Every request since the start, oldest first. */
  get crossings(): readonly Crossing[] {
    return this.#crossings
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method, url: path = '/', headers } = request
    const crossing: Crossing = { path, bytes: 0 }
    this.#crossings.push(crossing)
    const [host, port] = this.#registry.address.split(':')
    const inner = http.request({ host, port, method, path, headers })
    inner.on('response', answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      pipeline(answer, source => this.#paced(source, crossing), response).catch(() => response.destroy())
    })
    inner.on('error', () => response.destroy())
    response.on('close', () => inner.destroy())
    request.pipe(inner)
  }

  /** Lets bytes through when the link has its turn for them: all answers together stay within the pace. */
  async *#paced(source: AsyncIterable<Uint8Array>, crossing: Crossing): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      const now = performance.now()
      const start = Math.max(now, this.#freeAt)
      this.#freeAt = start + (chunk.length / this.#bytesPerSecond) * 1000
      if (start > now) await delay(start - now)
      crossing.bytes += chunk.length
      yield chunk
    }
  }
}
