/** Reads server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html. Used by api-client.ts. */

export interface ServerEvent {
  /** `message` where the stream names none. */
  readonly event: string
  readonly data: string
}

const maxWaiting = 16 * 1024 * 1024

/** The events of a stream, until it ends. Comments (keep-alives) are passed over. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let event = ''
  let data: string[] = []
  for await (const line of readLines(body)) {
    if (line === '') {
      if (data.length > 0) yield { event: event || 'message', data: data.join('\n') }
      event = ''
      data = []
      continue
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') event = value
    if (field === 'data') data.push(value)
  }
}

/** A readline interface would do, but it turns a cut stream into an exception that nobody can catch. */
async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/)
    rest = lines.pop() ?? ''
    if (rest.length > maxWaiting) throw new Error('a line of the events is too long')
    yield* lines
  }
}
