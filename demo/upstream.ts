/**
 * The demo's upstream: the agent's own read side over content in memory, behind a meter that counts what crosses the link and
 * keeps it to a pace, so that there is progress to see.
 */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { RegistryServer } from '../src/http/registry/server.ts'
import { MemoryContent } from '../test/fixtures/memory-content.ts'
import type { Application } from './applications.ts'

/** What has crossed the link. */
export interface Crossed {
  readonly requests: number
  readonly blobRequests: number
  /** Bytes of blobs. */
  readonly blobBytes: number
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
  #counts: Crossed = { requests: 0, blobRequests: 0, blobBytes: 0 }
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

  /** What has crossed since the start. */
  get crossed(): Crossed {
    return this.#counts
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method, url: path = '/', headers } = request
    const isBlob = /\/blobs\//.test(path)
    this.#count({ requests: 1, blobRequests: isBlob ? 1 : 0 })
    const [host, port] = this.#registry.address.split(':')
    const inner = http.request({ host, port, method, path, headers })
    inner.on('response', answer => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      this.#send(answer, response, isBlob).catch(() => response.destroy())
    })
    inner.on('error', () => response.destroy())
    response.on('close', () => inner.destroy())
    request.pipe(inner)
  }

  async #send(answer: IncomingMessage, response: ServerResponse, isBlob: boolean): Promise<void> {
    for await (const chunk of answer) {
      if (!(chunk instanceof Uint8Array)) continue
      await this.#pace(chunk.length)
      if (response.destroyed) return
      if (isBlob) this.#count({ blobBytes: chunk.length })
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
    response.end()
  }

  /** Waits for the link's turn: all answers together stay within the pace. */
  async #pace(bytes: number): Promise<void> {
    const now = performance.now()
    const start = Math.max(now, this.#freeAt)
    this.#freeAt = start + (bytes / this.#bytesPerSecond) * 1000
    if (start > now) await delay(start - now)
  }

  #count(more: Partial<Crossed>): void {
    const { requests, blobRequests, blobBytes } = this.#counts
    this.#counts = {
      requests: requests + (more.requests ?? 0),
      blobRequests: blobRequests + (more.blobRequests ?? 0),
      blobBytes: blobBytes + (more.blobBytes ?? 0),
    }
  }
}
