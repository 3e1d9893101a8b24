/**
 * One connection to one origin, which carries one request without a body after the other. Opened and kept by wire-pool.ts.
 */
import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { type ConnectionOptions, connect as connectTls, type SecureContext } from 'node:tls'
import { framingOf } from './body-framing.ts'
import { BodyReader } from './body-reader.ts'
import { HeadReader, type ResponseHead, writeHead } from './response-head.ts'
import { SocketReader } from './socket-reader.ts'
import { WireError } from './wire-error.ts'

/** Where a connection goes. */
export interface Endpoint {
  /** http or https. */
  readonly origin: URL
  /** Beside the machine's own roots; for https. */
  readonly secureContext?: SecureContext | undefined
  readonly rejectUnauthorized: boolean
  /** Asked before each read for the bytes that it may take from the kernel. */
  readonly mostAtOnce: () => number
}

export interface Exchange {
  readonly method: 'GET' | 'HEAD'
  /** The path with its query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  /** How long the answer's head may take. Milliseconds. */
  readonly answerTimeoutMs: number
  /** How long nothing may come while somebody waits for the body. Milliseconds. */
  readonly stallTimeoutMs: number
}

export interface ConnectionEvents {
  /** Closed, for whatever reason; once. */
  readonly closed: () => void
  /** A TLS session that the next connection may go on with. */
  readonly session: (session: Buffer) => void
}

/** Answers that only announce another one; more of them are no answer. */
const maxInterim = 8
/** Long enough to survive what forgets silent connections, as common as it is harmless. Milliseconds. */
const tcpKeepAliveMs = 60_000
/** Before the next of a name's addresses is tried. Over a satellite no connection stands within the quarter of a second that Node would wait. Milliseconds. */
const addressTimeoutMs = 2_500

export class WireConnection {
  readonly #socket: Socket
  readonly #reader: SocketReader
  readonly #origin: URL
  #isClosed = false

  private constructor(socket: Socket, reader: SocketReader, origin: URL, closed: () => void) {
    this.#socket = socket
    this.#reader = reader
    this.#origin = origin
    socket.once('close', () => {
      this.#isClosed = true
      closed()
    })
  }

  /**
   * Connects, within `timeoutMs` milliseconds, TLS included.
   * @throws Error of the system or of TLS; WireError `WIRE_CONNECT_TIMEOUT`; the signal's reason.
   */
  static async open(
    endpoint: Endpoint,
    { session, timeoutMs, signal }: { session: Buffer | undefined; timeoutMs: number; signal: AbortSignal },
    events: ConnectionEvents,
  ): Promise<WireConnection> {
    const reader = new SocketReader(endpoint.mostAtOnce)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = makeSocket(endpoint, reader.onread, { session, ready: resolve, heard: events.session })
    const connection = new WireConnection(socket, reader, endpoint.origin, events.closed)
    const leave = () => reject(signal.reason)
    const timer = setTimeout(() => {
      reject(new WireError('WIRE_CONNECT_TIMEOUT', `no connection within ${timeoutMs / 1000} s`))
    }, timeoutMs)
    socket.once('error', reject)
    socket.once('close', () => reject(new WireError('WIRE_CLOSED', 'the other side closed the connection at once')))
    signal.addEventListener('abort', leave, { once: true })
    try {
      await promise
      reader.attach(socket)
      return connection
    } catch (error) {
      socket.on('error', () => {}) // whatever it still has to say
      socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', leave)
      socket.off('error', reject)
    }
  }

  /** Whether it can carry a request now. */
  get isUsable(): boolean {
    return !this.#isClosed && !this.#reader.isDisturbed
  }

  /** Nothing is asked for now; the other side may close. */
  rest(): void {
    this.#reader.rest()
  }

  /** Closes at once; whoever reads gets the reason. */
  destroy(reason: Error): void {
    this.#reader.destroy(reason)
  }

  /**
   * Sends the request and gives the answer's head, with what is needed to read its body.
   * @throws WireError, or Error of the system; the connection is then closed.
   */
  async ask(exchange: Exchange): Promise<{ head: ResponseHead; body: BodyReader }> {
    const { method, target, headers, answerTimeoutMs, stallTimeoutMs } = exchange
    try {
      this.#socket.write(writeHead(method, target, { host: this.#origin.host, ...headers }), 'latin1')
      const { head, rest } = await this.#answer(answerTimeoutMs)
      const framing = framingOf(method, head)
      return { head, body: new BodyReader(this.#reader, framing, rest, stallTimeoutMs) }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  /** The head of the final answer, and what of its body came along. */
  async #answer(timeoutMs: number): Promise<{ head: ResponseHead; rest: Uint8Array }> {
    let reader = new HeadReader()
    let interim = 0
    const until = performance.now() + timeoutMs
    let bytes: Uint8Array = new Uint8Array()
    for (;;) {
      const taken = bytes.byteLength > 0 ? reader.take(bytes) : undefined
      if (taken === undefined) {
        const more = await this.#reader.read(Math.max(0, until - performance.now()), () => late(timeoutMs))
        if (more === undefined)
          throw new WireError('WIRE_CLOSED', 'the other side closed the connection without an answer')
        bytes = more
        continue
      }
      const rest = bytes.subarray(taken.used)
      if (taken.head.status >= 200) return { head: taken.head, rest }
      interim += 1
      if (taken.head.status === 101 || interim > maxInterim)
        throw new WireError('WIRE_GARBLED', 'the answer never comes to itself')
      reader = new HeadReader()
      bytes = rest
    }
  }
}

function makeSocket(
  { origin, secureContext, rejectUnauthorized }: Endpoint,
  onread: OnReadOpts,
  { session, ready, heard }: { session: Buffer | undefined; ready: () => void; heard: (session: Buffer) => void },
): Socket {
  const host = origin.hostname.replace(/^\[|\]$/g, '')
  const port = Number(origin.port || (origin.protocol === 'https:' ? 443 : 80))
  const common = {
    host,
    port,
    onread,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepAliveMs,
    autoSelectFamilyAttemptTimeout: addressTimeoutMs,
  }
  if (origin.protocol !== 'https:') return connectPlain(common, ready)
  const secure: ConnectionOptions & typeof common = {
    ...common,
    rejectUnauthorized,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(secureContext === undefined ? {} : { secureContext }),
    ...(session === undefined ? {} : { session }),
  }
  return connectTls(secure, ready).on('session', heard)
}

function late(timeoutMs: number): WireError {
  return new WireError('WIRE_ANSWER_TIMEOUT', `no answer within ${timeoutMs / 1000} s`)
}
