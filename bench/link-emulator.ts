/**
 * A link of our own between a client and a server on this machine: a TCP proxy with a rate, a round-trip time, and the faults of
 * real links at exact byte counts. It counts what crosses. Used by the benchmark, and by tests.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { queuedBytes } from './send-queue.ts'

export interface LinkOptions {
  /** The server behind the link: a port on 127.0.0.1. */
  readonly port: number
  /** Bits per second for each direction, shared by all connections; unlimited without. */
  readonly rate?: number
  /** Milliseconds; half of it for each direction. Default 0. */
  readonly roundTripMs?: number
  /** Every connection is reset after so many bytes towards its client. */
  readonly cutAfter?: number
  /** The link goes down: all connections are reset, and so are new ones while it lasts. */
  readonly outages?: readonly LinkFault[]
  /** Nothing moves, but connections stay. */
  readonly stalls?: readonly LinkFault[]
}

/** Something that happens once, when so many bytes have crossed towards clients over all connections. */
export interface LinkFault {
  readonly atByte: number
  readonly forMs: number
}

export interface LinkCounts {
  connections: number
  /** Connections turned away during an outage, or because there were too many. */
  refused: number
  /** HTTP/1.1 request lines seen where a chunk from a client begins, which is where clients put them. */
  requests: number
  bytesToClients: number
  bytesToServer: number
}

/** Chunks are cut to this size, so that connections share the rate evenly. Bytes. */
const pieceBytes = 16 * 1024
/** Bytes of one connection and direction that may be on their way at once: what the link holds, within these. */
const windowBytes = { least: 128 * 1024, most: 4 * 1024 * 1024 }
const maxConnections = 256
/** A timer that woke late may be made up for, as far back as this. Milliseconds. */
const burstMs = 4

export class LinkEmulator {
  readonly counts: LinkCounts = { connections: 0, refused: 0, requests: 0, bytesToClients: 0, bytesToServer: 0 }
  readonly #options: LinkOptions
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  readonly #toClients: Lane
  readonly #toServer: Lane
  /** Faults that are still to come, the next one first. */
  readonly #faults: (LinkFault & { readonly kind: 'outage' | 'stall' })[]
  readonly #milestones: { readonly bytes: number; readonly reach: () => void }[] = []
  #downUntil = 0

  constructor(options: LinkOptions) {
    this.#options = options
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true })
    this.#server.on('connection', client => this.#accept(client))
    this.#toClients = new Lane(options.rate)
    this.#toServer = new Lane(options.rate)
    const outages = (options.outages ?? []).map(fault => ({ ...fault, kind: 'outage' as const }))
    const stalls = (options.stalls ?? []).map(fault => ({ ...fault, kind: 'stall' as const }))
    this.#faults = [...outages, ...stalls].sort((a, b) => a.atByte - b.atByte)
  }

  /** Listens on a free port of 127.0.0.1. */
  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Ends all connections and frees the port. Safe to call twice. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#reset()
    await closed
  }

  /** `127.0.0.1:port`, where clients connect. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size
  }

  /**
   * Bytes that clients' machines have taken. What this process and its kernel still hold for them has not arrived, and those buffers are
   * filled in lumps of a megabyte: no link's doing, but our own.
   */
  arrived(): number {
    const queued = queuedBytes((this.#server.address() as AddressInfo).port)
    const inFlight = [...this.#pairs].reduce((sum, pair) => sum + pair.inFlightToClient, 0)
    return this.counts.bytesToClients - inFlight - queued
  }

  /** Resolves when so many bytes have crossed towards clients. */
  async reached(bytes: number): Promise<void> {
    if (this.counts.bytesToClients >= bytes) return
    await new Promise<void>(reach => this.#milestones.push({ bytes, reach }))
  }

  #accept(client: Socket): void {
    this.counts.connections++
    if (performance.now() < this.#downUntil || this.#pairs.size >= maxConnections) {
      this.counts.refused++
      client.on('error', () => {})
      client.resetAndDestroy()
      return
    }
    const server = connect({ port: this.#options.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const pair = new Pair(client, server)
    this.#pairs.add(pair)
    pair.closed.addEventListener('abort', () => this.#pairs.delete(pair), { once: true })
    const air = { delayMs: (this.#options.roundTripMs ?? 0) / 2, rate: this.#options.rate }
    pair.carryToServer(air, piece => this.#passToServer(piece, pair))
    pair.carryToClient(air, piece => this.#passToClient(piece, pair))
  }

  async #passToServer(piece: Buffer, pair: Pair): Promise<Buffer> {
    await this.#toServer.pass(piece.byteLength, pair.closed)
    this.counts.bytesToServer += piece.byteLength
    if (startsRequest(piece)) this.counts.requests++
    return piece
  }

  /** Lets a piece through, or as much of it as the next fault leaves. */
  async #passToClient(piece: Buffer, pair: Pair): Promise<Buffer> {
    await this.#toClients.pass(piece.byteLength, pair.closed)
    const left = (this.#options.cutAfter ?? Number.POSITIVE_INFINITY) - pair.bytesToClient
    const passing = left < piece.byteLength ? piece.subarray(0, left) : piece
    pair.bytesToClient += passing.byteLength
    this.counts.bytesToClients += passing.byteLength
    while (this.#happened()) {}
    if (pair.bytesToClient >= (this.#options.cutAfter ?? Number.POSITIVE_INFINITY)) pair.endAfterWrites()
    return passing
  }

  /** Does one thing whose byte count has come. False when there is none. */
  #happened(): boolean {
    const at = this.#milestones.findIndex(milestone => milestone.bytes <= this.counts.bytesToClients)
    const [milestone] = at < 0 ? [] : this.#milestones.splice(at, 1)
    if (milestone) {
      milestone.reach()
      return true
    }
    const [fault] = this.#faults
    if (fault === undefined || fault.atByte > this.counts.bytesToClients) return false
    this.#faults.shift()
    const until = performance.now() + fault.forMs
    if (fault.kind === 'stall') {
      this.#toClients.block(until)
      this.#toServer.block(until)
    } else {
      this.#downUntil = until
      this.#reset()
    }
    return true
  }

  #reset(): void {
    for (const pair of this.#pairs) pair.reset()
  }
}

/** One direction of the link: who passes waits until all that went before has been sent. */
class Lane {
  readonly #bytesPerMs: number | undefined
  #freeAt = 0
  #blockedUntil = 0

  constructor(rate: number | undefined) {
    this.#bytesPerMs = rate === undefined ? undefined : rate / 8 / 1000
  }

  block(until: number): void {
    this.#blockedUntil = until
  }

  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerMs !== undefined) {
      const now = performance.now()
      this.#freeAt = Math.max(this.#freeAt, now - burstMs) + bytes / this.#bytesPerMs
      if (this.#freeAt - now >= 1) await sleep(this.#freeAt - now, undefined, { signal })
    }
    for (let wait = this.#wait(); wait > 0; wait = this.#wait()) await sleep(wait, undefined, { signal })
  }

  #wait(): number {
    return Math.ceil(this.#blockedUntil - performance.now())
  }
}

/** A client's connection and ours to the server in its name: they end together. */
class Pair {
  /** Aborts when both have ended. */
  readonly closed: AbortSignal
  bytesToClient = 0
  readonly #client: Socket
  readonly #server: Socket
  readonly #controller = new AbortController()
  #toClient: Delay | undefined
  #ending = false

  constructor(client: Socket, server: Socket) {
    this.#client = client
    this.#server = server
    this.closed = this.#controller.signal
    for (const socket of [client, server]) {
      socket.on('error', () => this.reset())
      socket.on('close', () => {
        if (client.destroyed && server.destroyed) this.#controller.abort()
      })
    }
  }

  /** Moves bytes until the client has said all. `pass` waits for the link, and gives what is left of the piece. */
  carryToServer(air: Air, pass: (piece: Buffer) => Promise<Buffer>): void {
    this.#carry(this.#client, new Delay(this.#server, air, this.closed), pass).catch(() => this.reset())
  }

  /** The same the other way. */
  carryToClient(air: Air, pass: (piece: Buffer) => Promise<Buffer>): void {
    this.#toClient = new Delay(this.#client, air, this.closed)
    this.#carry(this.#server, this.#toClient, pass).catch(() => this.reset())
  }

  /** Bytes on their way to the client that this process holds. */
  get inFlightToClient(): number {
    return this.#toClient?.inFlight ?? 0
  }

  /** Resets the client's connection once what was passed is on its way, as a middle box does that cuts long transfers. */
  endAfterWrites(): void {
    this.#ending = true
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#server.destroy()
    this.#controller.abort()
  }

  async #carry(source: Socket, sink: Delay, pass: (piece: Buffer) => Promise<Buffer>): Promise<void> {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.byteLength; at += pieceBytes) {
        await sink.write(await pass(chunk.subarray(at, at + pieceBytes)))
        if (!this.#ending) continue
        await sink.flush()
        this.reset()
        return
      }
    }
    await sink.flush()
    sink.end()
  }
}

interface Air {
  readonly delayMs: number
  readonly rate: number | undefined
}

/** The way through the air: each piece arrives so much later, in order, and no more than a window is on its way. */
class Delay {
  readonly #sink: Socket
  readonly #delayMs: number
  readonly #closed: AbortSignal
  readonly #window: number
  #inFlight = 0
  #arrived: (() => void) | undefined

  constructor(sink: Socket, { delayMs, rate = Number.POSITIVE_INFINITY }: Air, closed: AbortSignal) {
    this.#sink = sink
    this.#delayMs = delayMs
    const held = delayMs === 0 ? 0 : (rate / 8000) * delayMs
    this.#window = Math.min(windowBytes.most, Math.max(windowBytes.least, 2 * held))
    this.#closed = closed
    closed.addEventListener('abort', () => this.#arrived?.(), { once: true })
  }

  get inFlight(): number {
    return this.#inFlight
  }

  async write(piece: Buffer): Promise<void> {
    this.#closed.throwIfAborted()
    this.#inFlight += piece.byteLength
    const arrive = () =>
      this.#sink.write(piece, () => {
        this.#inFlight -= piece.byteLength
        this.#arrived?.()
      })
    if (this.#delayMs === 0) arrive()
    else setTimeout(arrive, this.#delayMs)
    await this.#until(this.#window)
  }

  /** Resolves when the sink has taken everything. */
  async flush(): Promise<void> {
    await this.#until(0)
  }

  end(): void {
    this.#sink.end()
  }

  async #until(left: number): Promise<void> {
    while (this.#inFlight > left && !this.#closed.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#arrived = resolve
      await promise
    }
    this.#closed.throwIfAborted()
  }
}

function startsRequest(piece: Buffer): boolean {
  return /^(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+ HTTP\/1\.1\r\n/.test(piece.toString('latin1', 0, 2048))
}
