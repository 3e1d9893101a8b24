/**
 * Where an answer's body ends: after its length, after its last chunk, or with the connection. RFC 9112, 6 and 7. What names two ends
 * is refused. Used by wire-connection.ts.
 */
import { listOf, maxHeadBytes, type ResponseHead } from './response-head.ts'
import { WireError } from './wire-error.ts'

/** Takes what came over the connection and gives the body's part of it. */
export interface BodyFraming {
  /** The body's bytes among these, in their own memory. @throws WireError `WIRE_GARBLED`, `WIRE_TOO_LONG`. */
  payload(bytes: Uint8Array): Iterable<Uint8Array>
  /** Whether all of it has come. */
  readonly isComplete: boolean
  /** Whether the connection stands for another request after this: nothing came that belongs to no answer. */
  readonly leavesConnection: boolean
  /** Bytes that are still to come, where that is known. */
  readonly left: number | undefined
  /** The connection has ended. @throws WireError `WIRE_CLOSED` where that is too early. */
  ended(): void
}

/** How the body after this head ends. @throws WireError `WIRE_GARBLED` for a head that contradicts itself, or an encoding that nobody asked for. */
export function framingOf(method: string, { status, headers, isOld }: ResponseHead): BodyFraming {
  if (method === 'HEAD' || status === 204 || status === 304) return new SizedBody(0)
  const encodings = listOf(headers, 'transfer-encoding')
  const lengths = new Set(listOf(headers, 'content-length'))
  if (encodings.length > 0) {
    if (encodings.length === 1 && encodings[0] === 'chunked' && lengths.size === 0 && !isOld) return new ChunkedBody()
    throw new WireError('WIRE_GARBLED', 'the answer says in two ways where it ends, or in one that is not known')
  }
  if (headers['content-length'] === undefined) return new UnendingBody()
  const [length = ''] = lengths
  if (lengths.size === 1 && /^\d{1,15}$/.test(length)) return new SizedBody(Number(length))
  throw new WireError('WIRE_GARBLED', 'the length of the answer is no number')
}

class SizedBody implements BodyFraming {
  #left: number
  #isOverfull = false

  constructor(bytes: number) {
    this.#left = bytes
  }

  payload(bytes: Uint8Array): Iterable<Uint8Array> {
    if (bytes.byteLength > this.#left) this.#isOverfull = true
    const part = this.#isOverfull ? bytes.subarray(0, this.#left) : bytes
    this.#left -= part.byteLength
    return part.byteLength > 0 ? [part] : []
  }

  get isComplete(): boolean {
    return this.#left === 0
  }

  get leavesConnection(): boolean {
    return !this.#isOverfull
  }

  get left(): number {
    return this.#left
  }

  ended(): void {
    throw new WireError('WIRE_CLOSED', `the other side closed the connection with ${this.#left} bytes still to come`)
  }
}

/** Ends with its connection. */
class UnendingBody implements BodyFraming {
  #hasEnded = false

  payload(bytes: Uint8Array): Iterable<Uint8Array> {
    return [bytes]
  }

  get isComplete(): boolean {
    return this.#hasEnded
  }

  get leavesConnection(): boolean {
    return false
  }

  get left(): undefined {
    return undefined
  }

  ended(): void {
    this.#hasEnded = true
  }
}

/** A chunk's size with its extensions. Bytes. */
const maxSizeLine = 4 * 1024
const lineFeed = 0x0a

class ChunkedBody implements BodyFraming {
  #part: 'size' | 'data' | 'data end' | 'trailer' | 'done' = 'size'
  #line = ''
  #left = 0
  #trailerBytes = 0
  #isOverfull = false

  get isComplete(): boolean {
    return this.#part === 'done'
  }

  *payload(bytes: Uint8Array): Generator<Uint8Array> {
    let rest = bytes
    while (rest.byteLength > 0) {
      if (this.#part === 'done') {
        this.#isOverfull = true
        return
      }
      if (this.#part === 'data') {
        const data = rest.subarray(0, this.#left)
        this.#left -= data.byteLength
        if (this.#left === 0) this.#part = 'data end'
        rest = rest.subarray(data.byteLength)
        yield data
      } else {
        rest = rest.subarray(this.#takeLine(rest))
      }
    }
  }

  get leavesConnection(): boolean {
    return !this.#isOverfull
  }

  get left(): undefined {
    return undefined
  }

  ended(): void {
    throw new WireError('WIRE_CLOSED', 'the other side closed the connection between two chunks')
  }

  /** Takes bytes up to a line's end, and acts on a line that is whole. Answers how many it took. */
  #takeLine(bytes: Uint8Array): number {
    const at = bytes.indexOf(lineFeed)
    const end = at < 0 ? bytes.byteLength : at + 1
    if (this.#line.length + end > maxSizeLine)
      throw new WireError('WIRE_TOO_LONG', 'a line between two chunks of the answer never ends')
    this.#line += Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('latin1')
    if (at < 0) return end
    const line = this.#line
    this.#line = ''
    if (!line.endsWith('\r\n'))
      throw new WireError('WIRE_GARBLED', 'a line between two chunks of the answer is malformed')
    this.#act(line.slice(0, -2))
    return end
  }

  #act(line: string): void {
    if (this.#part === 'size') {
      const [, size] = /^([\da-fA-F]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(line) ?? []
      if (size === undefined) throw new WireError('WIRE_GARBLED', 'the size of a chunk of the answer is no number')
      this.#left = Number.parseInt(size, 16)
      this.#part = this.#left === 0 ? 'trailer' : 'data'
    } else if (this.#part === 'data end') {
      if (line !== '') throw new WireError('WIRE_GARBLED', 'a chunk of the answer is longer than its size')
      this.#part = 'size'
    } else {
      this.#trailerBytes += line.length
      if (this.#trailerBytes > maxHeadBytes)
        throw new WireError('WIRE_TOO_LONG', 'the trailer of the answer never ends')
      if (line === '') this.#part = 'done'
    }
  }
}
