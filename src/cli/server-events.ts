/** Reads server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html. Used by api-client.ts. */
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface ServerEvent {
  /** `message` where the stream names none. */
  readonly event: string
  readonly data: string
}

/** The events of a stream, until it ends. Comments (keep-alives) are passed over. */
export async function* readEvents(body: Readable): AsyncGenerator<ServerEvent> {
  let event = ''
  let data: string[] = []
  for await (const line of createInterface({ input: body, crlfDelay: Number.POSITIVE_INFINITY })) {
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
