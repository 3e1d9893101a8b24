/** What goes wrong on one connection of ours, by code; failures.ts says what that means for an image. */

export type WireCode =
  /** Nobody accepted the connection in time. */
  | 'WIRE_CONNECT_TIMEOUT'
  /** The connection stands, and no answer came in time. */
  | 'WIRE_ANSWER_TIMEOUT'
  /** The answer began, and then nothing came for too long. */
  | 'WIRE_STALLED'
  /** The other side ended the connection before its answer was complete. */
  | 'WIRE_CLOSED'
  /** What came is not HTTP/1, or contradicts itself. */
  | 'WIRE_GARBLED'
  /** The answer's head, or the text between its chunks, is longer than any should be. */
  | 'WIRE_TOO_LONG'
  /** The request can't be said in HTTP. */
  | 'WIRE_UNSENDABLE'

export class WireError extends Error {
  override readonly name = 'WireError'
  readonly code: WireCode

  constructor(code: WireCode, message: string) {
    super(message)
    this.code = code
  }
}
