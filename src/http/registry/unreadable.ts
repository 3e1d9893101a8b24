/** The answer to what is no request: Node's parser refuses it, or its headers don't come, before any route is asked. Used by app.ts. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { faultBody, RegistryFault } from './fault.ts'

const faults: Readonly<Record<string, RegistryFault>> = {
  ERR_HTTP_REQUEST_TIMEOUT: new RegistryFault(408, 'UNSUPPORTED', 'the request took too long to arrive'),
  HPE_HEADER_OVERFLOW: new RegistryFault(431, 'UNSUPPORTED', 'the headers of the request are too long'),
}
const noRequest = new RegistryFault(400, 'UNSUPPORTED', 'this is no request of HTTP/1.1')

/** Says why, in the specification's form, and closes the connection: where the next request begins can't be known. */
export function refuseUnreadable(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const fault = faults[error.code ?? ''] ?? noRequest
  const body = faultBody(fault)
  const head = [
    `HTTP/1.1 ${fault.status} ${STATUS_CODES[fault.status]}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
}
