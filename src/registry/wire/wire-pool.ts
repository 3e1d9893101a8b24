/**
 * Requests without a body, each over a connection that is free or a new one; a few per origin, kept while they are of use. What carries
 * content to the site comes through here. Used by connections.ts.
 */
import type { SecureContext } from 'node:tls'
import type { AnswerBody, WireAnswer } from '../answer.ts'
import type { BodyReader } from './body-reader.ts'
import { listOf, type ResponseHead } from './response-head.ts'
import { type Exchange, WireConnection } from './wire-connection.ts'
import { WireError } from './wire-error.ts'

export interface WirePoolOptions {
  readonly connectionsPerOrigin: number
  readonly connectTimeoutMs: number
  /** How long a connection is kept without use, where the server doesn't say. Milliseconds. */
  readonly keepAliveMs: number
  /** And at most, whatever the server says. Milliseconds. */
  readonly maxKeepAliveMs: number
  /** Trusted beside the machine's own roots; for https. */
  readonly secureContext?: SecureContext | undefined
  readonly rejectUnauthorized: boolean
  /** Asked before each read for the bytes that it may take from the kernel. */
  readonly mostAtOnce: () => number
}

export interface WireRequestOptions extends Exchange {
  readonly origin: URL
  readonly signal: AbortSignal
}

interface Idle {
  readonly connection: WireConnection
  readonly timer: NodeJS.Timeout
}

/** The connections to one origin. */
interface Origin {
  /** The one that was used last is the last. */
  readonly idle: Idle[]
  /** All of them, those that are being opened, too. */
  open: number
  /** Who waits for one of them, in order. */
  readonly waiting: Set<() => void>
  /** The TLS session that a new connection goes on with: a handshake less. */
  session: Buffer | undefined
}

/** The time that a server takes to close and its FIN to arrive. Milliseconds. */
const closingMs = 1_000
/** Origins that are remembered beyond their connections, for their TLS sessions. */
const maxOrigins = 100

export class WirePool {
  readonly #options: WirePoolOptions
  readonly #origins = new Map<string, Origin>()
  readonly #connections = new Set<WireConnection>()
  /** Aborted when all is closed: what is being opened then ends at once. */
  readonly #closing = new AbortController()

  constructor(options: WirePoolOptions) {
    this.#options = options
  }

  /**
   * Sends one request. Its answer's body has to be read to its end, or given up, or the connection stays taken.
   * @throws WireError; Error of the system or of TLS; the signal's reason.
   */
  async request(request: WireRequestOptions): Promise<WireAnswer> {
    const { signal } = request
    const origin = this.#originOf(request.origin)
    const connection = await this.#acquire(origin, request)
    const abort = () => connection.destroy(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    try {
      const { head, body } = await connection.ask(request)
      return {
        status: head.status,
        headers: head.headers,
        body: new WireBody(body, isDone => {
          signal.removeEventListener('abort', abort)
          this.#release(origin, connection, isDone && body.isClean ? this.#keepMs(head) : 0)
        }),
      }
    } catch (error) {
      signal.removeEventListener('abort', abort)
      // What else is kept may have been forgotten in the same way, and whoever asks once more should meet none of it.
      if (!signal.aborted) dropIdle(origin)
      throw error
    }
  }

  /** Closes every connection, whatever is under way on it. */
  close(): void {
    const reason = new WireError('WIRE_CLOSED', 'the connections are closed')
    this.#closing.abort(reason)
    for (const { idle, waiting } of this.#origins.values()) {
      for (const { timer } of idle) clearTimeout(timer)
      for (const begin of waiting) begin()
    }
    for (const connection of this.#connections) connection.destroy(reason)
    this.#origins.clear()
  }

  #originOf({ origin }: URL): Origin {
    const known = this.#origins.get(origin)
    if (known) return known
    for (const [name, { open, waiting }] of this.#origins) {
      if (this.#origins.size < maxOrigins) break
      if (open === 0 && waiting.size === 0) this.#origins.delete(name)
    }
    const made: Origin = { idle: [], open: 0, waiting: new Set(), session: undefined }
    this.#origins.set(origin, made)
    return made
  }

  async #acquire(origin: Origin, { origin: url, signal }: WireRequestOptions): Promise<WireConnection> {
    for (;;) {
      signal.throwIfAborted()
      this.#closing.signal.throwIfAborted()
      const idle = takeIdle(origin)
      if (idle) return idle
      if (origin.open < this.#options.connectionsPerOrigin) return await this.#connect(origin, url, signal)
      await turnIn(origin, signal)
      // Whose turn it is, and who does not want it any more, hands it on.
      if (signal.aborted) nextTurn(origin)
    }
  }

  async #connect(origin: Origin, url: URL, signal: AbortSignal): Promise<WireConnection> {
    const { secureContext, rejectUnauthorized, mostAtOnce, connectTimeoutMs } = this.#options
    origin.open += 1
    let opened: WireConnection | undefined
    let isCounted = true
    const closed = () => {
      if (opened) this.#connections.delete(opened)
      if (isCounted) origin.open -= 1
      isCounted = false
      nextTurn(origin)
    }
    const session = (session: Buffer) => {
      origin.session = session
    }
    const endpoint = { origin: url, secureContext, rejectUnauthorized, mostAtOnce }
    const how = {
      session: origin.session,
      timeoutMs: connectTimeoutMs,
      signal: AbortSignal.any([signal, this.#closing.signal]),
    }
    // A session that the server no longer likes must not stand in the way a second time.
    origin.session = undefined
    try {
      opened = await WireConnection.open(endpoint, how, { closed, session })
    } catch (error) {
      closed()
      throw error
    }
    this.#connections.add(opened)
    if (this.#closing.signal.aborted) opened.destroy(this.#closing.signal.reason)
    return opened
  }

  #release(origin: Origin, connection: WireConnection, keepMs: number): void {
    if (keepMs <= 0 || !connection.isUsable || this.#closing.signal.aborted) {
      connection.destroy(new WireError('WIRE_CLOSED', 'the connection is not used any more'))
      return
    }
    connection.rest()
    const timer = setTimeout(() => {
      const at = origin.idle.findIndex(idle => idle.connection === connection)
      if (at >= 0) origin.idle.splice(at, 1)
      connection.destroy(new WireError('WIRE_CLOSED', 'the connection was not used for long'))
    }, keepMs)
    origin.idle.push({ connection, timer })
    nextTurn(origin)
  }

  /** How long the connection may be kept after this answer. Milliseconds; 0: not at all. */
  #keepMs({ headers, isOld }: ResponseHead): number {
    const { keepAliveMs, maxKeepAliveMs } = this.#options
    if (isOld || listOf(headers, 'connection').includes('close')) return 0
    const [, seconds] = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(listOf(headers, 'keep-alive').join()) ?? []
    return seconds === undefined ? keepAliveMs : Math.min(Number(seconds) * 1000 - closingMs, maxKeepAliveMs)
  }
}

function takeIdle({ idle }: Origin): WireConnection | undefined {
  for (let last = idle.pop(); last; last = idle.pop()) {
    clearTimeout(last.timer)
    if (last.connection.isUsable) return last.connection
    last.connection.destroy(new WireError('WIRE_CLOSED', 'the other side said something that nobody asked for'))
  }
  return undefined
}

function dropIdle({ idle }: Origin): void {
  for (const { connection, timer } of idle.splice(0)) {
    clearTimeout(timer)
    connection.destroy(new WireError('WIRE_CLOSED', 'another connection to the same place failed'))
  }
}

/** Resolves when a connection may be free. Rejects with the signal's reason. */
function turnIn(origin: Origin, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const leave = () => {
      origin.waiting.delete(begin)
      reject(signal.reason)
    }
    const begin = () => {
      signal.removeEventListener('abort', leave)
      resolve()
    }
    signal.addEventListener('abort', leave, { once: true })
    origin.waiting.add(begin)
  })
}

function nextTurn(origin: Origin): void {
  const [begin] = origin.waiting
  if (begin === undefined) return
  origin.waiting.delete(begin)
  begin()
}

/** Each part is good until the next is asked for. */
class WireBody implements AnswerBody {
  readonly #reader: BodyReader
  readonly #ended: (isDone: boolean) => void
  #hasEnded = false

  constructor(reader: BodyReader, ended: (isDone: boolean) => void) {
    this.#reader = reader
    this.#ended = ended
    if (reader.isEmpty) this.#end(true)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let part = await this.#reader.next(); part; part = await this.#reader.next()) yield part
      this.#end(true)
    } finally {
      this.#end(false)
    }
  }

  /** Never rejects. */
  async dump({ limit }: { readonly limit: number }): Promise<void> {
    try {
      let left = limit
      if ((this.#reader.left ?? 0) > left) return
      for await (const part of this) {
        left -= part.byteLength
        if (left < 0) return
      }
    } catch {
      // It is closed, which is all that is wanted
    } finally {
      this.#end(false)
    }
  }

  destroy(): void {
    this.#end(false)
  }

  #end(isDone: boolean): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#ended(isDone)
  }
}
