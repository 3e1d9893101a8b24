/** Reads one answer's body from its connection, part by part. Made by wire-connection.ts. */
import type { BodyFraming } from './body-framing.ts'
import type { SocketReader } from './socket-reader.ts'
import { WireError } from './wire-error.ts'

export class BodyReader {
  readonly #reader: SocketReader
  readonly #framing: BodyFraming
  readonly #timeoutMs: number
  /** Whether there is nothing to read. */
  readonly isEmpty: boolean
  #parts: Iterator<Uint8Array>

  /** @param first what came along with the head. */
  constructor(reader: SocketReader, framing: BodyFraming, first: Uint8Array, timeoutMs: number) {
    this.#reader = reader
    this.#framing = framing
    this.#timeoutMs = timeoutMs
    this.isEmpty = framing.isComplete
    this.#parts = partsOf(framing, first)
  }

  /** The next bytes, good until the next call; undefined after the last. @throws WireError, or Error of the system. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const part = this.#parts.next()
      if (!part.done) return part.value
      if (this.#framing.isComplete) return undefined
      const bytes = await this.#reader.read(this.#timeoutMs, () => stalled(this.#timeoutMs))
      if (bytes === undefined) this.#framing.ended()
      else this.#parts = partsOf(this.#framing, bytes)
    }
  }

  /** Whether the connection can carry another request: all of this one has come, and nothing else. */
  get isClean(): boolean {
    return this.#framing.isComplete && this.#framing.leavesConnection
  }

  /** Bytes that are still to come, where that is known. */
  get left(): number | undefined {
    return this.#framing.left
  }
}

function partsOf(framing: BodyFraming, bytes: Uint8Array): Iterator<Uint8Array> {
  return (bytes.byteLength > 0 ? framing.payload(bytes) : [])[Symbol.iterator]()
}

function stalled(timeoutMs: number): WireError {
  return new WireError('WIRE_STALLED', `nothing has come for ${timeoutMs / 1000} s`)
}
