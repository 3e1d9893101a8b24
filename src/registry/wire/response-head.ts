/**
 * Heads of HTTP/1 messages: an answer's is taken from the bytes that came, a request's is written. What could be read in two ways is
 * refused. RFC 9112, 2 to 4. Used by wire-connection.ts.
 */
import { WireError } from './wire-error.ts'

/** By lower case name; what came several times, as a list. */
export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>

export interface ResponseHead {
  readonly status: number
  /** HTTP/1.0 ends a connection with its answer. */
  readonly isOld: boolean
  readonly headers: HeaderFields
}

/** Of an answer's head, and of its trailer. Bytes. */
export const maxHeadBytes = 16 * 1024

const lineEnd = '\r\n'
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
/** Blanks around the value are taken off afterwards: an expression that tells them apart takes time by the square of their number. */
const fieldLine = /^([!#$%&'*+\-.^_`|~\dA-Za-z]+):([\t\x20-\x7e\x80-\xff]*)$/
const fieldName = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** Gathers a head from what comes. */
export class HeadReader {
  #text = ''

  /**
   * Takes bytes up to the head's end; answers the head and how many bytes of `bytes` belonged to it, or undefined while its end has not come.
   * @throws WireError `WIRE_GARBLED` or `WIRE_TOO_LONG`.
   */
  take(bytes: Uint8Array): { readonly head: ResponseHead; readonly used: number } | undefined {
    const before = this.#text.length
    this.#text += Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, maxHeadBytes)).toString(
      'latin1',
    )
    if (!'HTTP/1.'.startsWith(this.#text.slice(0, 7))) throw new WireError('WIRE_GARBLED', 'the answer is not HTTP/1')
    const end = this.#text.indexOf(lineEnd + lineEnd, Math.max(0, before - 3))
    if (end >= 0) return { head: parseHead(this.#text.slice(0, end)), used: end + 4 - before }
    if (this.#text.length < maxHeadBytes) return undefined
    throw new WireError('WIRE_TOO_LONG', `the head of the answer is longer than ${maxHeadBytes} bytes`)
  }
}

function parseHead(text: string): ResponseHead {
  const [first = '', ...lines] = text.split(lineEnd)
  const match = statusLine.exec(first)
  if (match === null) throw new WireError('WIRE_GARBLED', 'the answer has no status line of HTTP/1')
  const headers: Record<string, string | string[]> = Object.create(null)
  for (const line of lines) {
    const [, name, value] = fieldLine.exec(line) ?? []
    if (name === undefined || value === undefined)
      throw new WireError('WIRE_GARBLED', 'a header of the answer is malformed')
    const key = name.toLowerCase()
    const known = headers[key]
    const text = value.trim()
    headers[key] = known === undefined ? text : typeof known === 'string' ? [known, text] : [...known, text]
  }
  return { status: Number(match[2]), isOld: match[1] === '0', headers }
}

/** A header's values, split at their commas, in lower case. */
export function listOf(headers: HeaderFields, name: string): readonly string[] {
  const value = headers[name]
  if (value === undefined) return []
  const parts = (typeof value === 'string' ? value : value.join(',')).toLowerCase().split(',')
  return parts.map(part => part.trim()).filter(part => part !== '')
}

/**
 * The head of a request without a body.
 * @throws WireError `WIRE_UNSENDABLE` for what would end its line early: a token, say, of a server that means ill.
 */
export function writeHead(method: string, target: string, headers: Readonly<Record<string, string>>): string {
  if (!/^[\x21-\x7e]+$/.test(target))
    throw new WireError('WIRE_UNSENDABLE', 'the address holds a character that is not allowed in one')
  let text = `${method} ${target} HTTP/1.1${lineEnd}`
  for (const [name, value] of Object.entries(headers)) {
    if (!fieldName.test(name) || !fieldValue.test(value)) {
      throw new WireError(
        'WIRE_UNSENDABLE',
        `the header ${JSON.stringify(name)} holds a character that is not allowed in one`,
      )
    }
    text += `${name}: ${value}${lineEnd}`
  }
  return text + lineEnd
}
