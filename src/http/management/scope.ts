/** What the routes of image management have in common: their scope, and an end to what a call waits for. */
import type { FastifyReply } from 'fastify'
import type { ApiInstance } from '../api/app.ts'
import type { ManagementFace } from './face.ts'
import type { Gate } from './gate.ts'

export interface Scope {
  /** Every path below it starts with the group and its version. */
  readonly app: ApiInstance
  readonly face: ManagementFace
  readonly gate: Gate
}

/** Ends with the time, or when the client has gone. */
export function signalOf(reply: FastifyReply, timeoutMs: number): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return AbortSignal.any([AbortSignal.timeout(timeoutMs), gone.signal])
}
