/**
 * What comes over one socket, taken by one reader at its own pace, through memory that is used over and over: what Node makes anew for
 * every piece otherwise costs as much as all the rest of receiving. Used by wire-connection.ts.
 */
import type { OnReadOpts, Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { WireError } from './wire-error.ts'

/** One read of the kernel's at most: what a fast sender has sent meanwhile. Two of these per socket. Bytes. */
const blockBytes = 128 * 1024
/** With less room than this left, the other block is next: small reads cost as much as large ones. Bytes. */
const leastRoom = 32 * 1024

interface Piece {
  readonly block: Buffer
  readonly bytes: Uint8Array
}

interface Waiter {
  readonly resolve: (bytes: Uint8Array | undefined) => void
  readonly reject: (error: unknown) => void
  readonly since: number
  readonly timeoutMs: number
  readonly late: () => WireError
}

export class SocketReader {
  readonly #mostAtOnce: () => number
  #socket: Socket | undefined
  #block: Buffer | undefined
  #spare: Buffer | undefined
  /** Where the next bytes go in the block. */
  #filled = 0
  /** What came and was not asked for yet: under TLS, one read brings several pieces. */
  readonly #pieces: Piece[] = []
  /** The block of the piece that the reader has. */
  #lent: Buffer | undefined
  #waiter: Waiter | undefined
  #timer: NodeJS.Timeout | undefined
  /** When the timer goes off, in the milliseconds of performance.now(). */
  #timerAt = 0
  #hasEnded = false
  #failure: Error | undefined

  /** To be given to the socket when it is made. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#room(),
    callback: count => this.#came(count),
  }

  /** @param mostAtOnce is asked, as soon as one read is done, for the bytes that the next may take; under TLS, Node decides that. */
  constructor(mostAtOnce: () => number) {
    this.#mostAtOnce = mostAtOnce
  }

  /** Begins with a socket that was made with {@link onread}. */
  attach(socket: Socket): void {
    this.#socket = socket
    socket.on('end', () => this.#end())
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => this.#end())
    // Only from here on is 'end' told; what comes before it is asked for is kept.
    socket.resume()
  }

  /**
   * The next bytes, or undefined at the end. They are good until the next call. Nothing is taken from the kernel while nobody waits here.
   * @param late makes the error for when nothing has come for `timeoutMs` milliseconds; the socket is then of no use.
   * @throws Error of the socket.
   */
  read(timeoutMs: number, late: () => WireError): Promise<Uint8Array | undefined> {
    this.#lent = undefined
    const piece = this.#pieces.shift()
    if (piece !== undefined) {
      this.#lent = piece.block
      return Promise.resolve(piece.bytes)
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#hasEnded) return Promise.resolve(undefined)
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>()
    this.#waiter = { resolve, reject, since: performance.now(), timeoutMs, late }
    this.#watch(timeoutMs)
    this.#socket?.resume()
    return promise
  }

  /** Whether anything came that was not asked for, the end included. */
  get isDisturbed(): boolean {
    return this.#pieces.length > 0 || this.#hasEnded || this.#failure !== undefined
  }

  /** Nobody reads for now, but the end is seen when it comes. */
  rest(): void {
    this.#callOff()
    this.#lent = undefined
    this.#socket?.resume()
  }

  /** Ends the socket; a reader that waits gets the reason. */
  destroy(reason: Error): void {
    this.#fail(reason)
    this.#socket?.destroy()
  }

  /** Where the socket's next bytes go: never onto bytes that somebody reads. */
  #room(): Buffer {
    let block = this.#block
    if (block === undefined || block.byteLength - this.#filled < leastRoom) {
      const spare = this.#spare !== undefined && !this.#isInUse(this.#spare) ? this.#spare : undefined
      this.#spare = block
      block = spare ?? Buffer.allocUnsafeSlow(blockBytes)
      this.#block = block
      this.#filled = 0
    }
    return block.subarray(this.#filled, this.#filled + this.#mostAtOnce())
  }

  #isInUse(block: Buffer): boolean {
    return this.#lent === block || this.#pieces.some(piece => piece.block === block)
  }

  /** Takes what the kernel has put where {@link #room} said. Answers whether it may go on reading. */
  #came(count: number): boolean {
    const block = this.#block
    if (block === undefined) return false
    const bytes = block.subarray(this.#filled, this.#filled + count)
    this.#filled += count
    const waiter = this.#waiter
    if (waiter === undefined) {
      this.#pieces.push({ block, bytes })
      return false
    }
    this.#waiter = undefined
    this.#lent = block
    waiter.resolve(bytes)
    return false
  }

  #end(): void {
    this.#hasEnded = true
    this.#settle(waiter => waiter.resolve(undefined))
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#settle(waiter => waiter.reject(error))
  }

  #settle(tell: (waiter: Waiter) => void): void {
    this.#callOff()
    const waiter = this.#waiter
    this.#waiter = undefined
    if (waiter) tell(waiter)
  }

  /** One timer for many reads: it looks how long the present one has waited, and goes when nobody waits. */
  #watch(ms: number): void {
    const at = performance.now() + ms
    if (this.#timer !== undefined && this.#timerAt <= at) return
    this.#callOff()
    this.#timerAt = at
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#waiter === undefined) return
      const { since, timeoutMs, late } = this.#waiter
      const left = since + timeoutMs - performance.now()
      if (left > 0) this.#watch(left)
      else this.destroy(late())
    }, Math.ceil(ms))
  }

  #callOff(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
