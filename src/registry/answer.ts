/** An HTTP answer while its body is still to be read. Every answer has to be read to its end, discarded or cancelled, or its connection stays taken. */
import { ImageError } from '../oci/errors.ts'
import { type Doing, networkFailure } from './failures.ts'
import type { Passage } from './line.ts'
import type { HeaderFields } from './wire/response-head.ts'

/** An answer that is thrown away is read this far to keep its connection; a longer one is cut. Bytes. */
const discardLimit = 64 * 1024

/** A body that is still to be read. Leaving the loop early closes its connection. */
export interface AnswerBody extends AsyncIterable<Uint8Array> {
  /** Reads at most so many bytes away, so that the connection can serve again, and closes it where there are more. */
  dump(options: { readonly limit: number }): Promise<void>
  /** Closes the connection without reading. */
  destroy(): void
}

/** What came over the wire. */
export interface WireAnswer {
  readonly status: number
  readonly headers: HeaderFields
  readonly body: AnswerBody
}

export class Answer {
  readonly status: number
  /** Where it came from, after redirects. */
  readonly url: URL
  /** Whether a redirect left the origin that was asked. */
  readonly strayed: boolean
  readonly #headers: HeaderFields
  readonly #body: AnswerBody
  readonly #about: Doing
  readonly #signal: AbortSignal
  readonly #passage: Passage | undefined

  constructor(
    response: WireAnswer,
    from: {
      readonly url: URL
      readonly strayed: boolean
      readonly about: Doing
      readonly signal: AbortSignal
      readonly passage?: Passage | undefined
    },
  ) {
    this.status = response.status
    this.url = from.url
    this.strayed = from.strayed
    this.#headers = response.headers
    this.#body = response.body
    this.#about = from.about
    this.#signal = from.signal
    this.#passage = from.passage
  }

  /** A header's value; several are joined as RFC 9110, 5.3 says. */
  header(name: string): string | undefined {
    const value = this.#headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  /** A header's values, one by one as sent. */
  headerLines(name: string): readonly string[] {
    const value = this.#headers[name]
    return value === undefined ? [] : Array.isArray(value) ? value : [value]
  }

  /** `Content-Length` in bytes, if it is there and a number. */
  get length(): number | undefined {
    const text = this.header('content-length')
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
  }

  /**
   * The body as it comes, and no faster than the line's keeper lets it; while nobody reads, the silence is ours and no stall. A chunk
   * is good until the next is asked for. Leaving the loop early closes the connection.
   * @throws ImageError, or the signal's reason.
   */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const passage = this.#passage
    try {
      // Before anything is read: a kernel gives a reader that begins fast the more room, which the sender then fills.
      await passage?.more(this.#signal)
      for await (const chunk of this.#body) {
        passage?.came(chunk.byteLength)
        yield chunk
        await passage?.more(this.#signal)
      }
    } catch (error) {
      this.#signal.throwIfAborted()
      throw networkFailure(error, this.url, this.#about)
    }
  }

  /** The whole body, or undefined if it is longer than `limit` bytes; the connection is then cut. @throws as {@link chunks}. */
  async read(limit: number): Promise<Uint8Array | undefined> {
    if ((this.length ?? 0) > limit) {
      this.cancel()
      return undefined
    }
    const { bytes, complete } = await this.#gather(limit)
    return complete ? bytes : undefined
  }

  /** The body's start, at most `limit` bytes, for an error's text: what breaks off is taken as it is. */
  async readStart(limit: number): Promise<Uint8Array> {
    const { bytes } = await this.#gather(limit)
    return bytes
  }

  /** Reads the body away so that the connection can serve again. Never throws. */
  async discard(): Promise<void> {
    try {
      await this.#body.dump({ limit: discardLimit })
    } catch {
      this.cancel()
    }
  }

  /** Closes the connection without reading. */
  cancel(): void {
    this.#body.destroy()
  }

  /** @throws ImageError `UNSUPPORTED` when the content comes encoded although it was asked for as it is: digests are over the plain bytes. */
  refuseEncoding(): void {
    const encoding = this.header('content-encoding')?.trim().toLowerCase()
    if (encoding === undefined || encoding === '' || encoding === 'identity') return
    this.cancel()
    throw new ImageError('UNSUPPORTED', `${this.url.host} sent content encoded as "${encoding.slice(0, 40)}"`, {
      ...this.#about,
      host: this.url.host,
      hint: 'Switch off compression for registry content at the registry or the proxy before it.',
    })
  }

  async #gather(limit: number): Promise<{ bytes: Uint8Array; complete: boolean }> {
    const parts: Uint8Array[] = []
    let size = 0
    for await (const chunk of this.chunks()) {
      parts.push(Uint8Array.from(chunk)) // its memory is used for the next
      size += chunk.byteLength
      if (size > limit) return { bytes: Buffer.concat(parts).subarray(0, limit), complete: false }
    }
    return { bytes: Buffer.concat(parts), complete: true }
  }
}
