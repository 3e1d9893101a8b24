/**
 * After the loss of the state folder: where the edge's sequence of statuses had got to, read from its own retained statuses.
 * A sequence that began again would be dropped by consumers as repeats. specs: plan contract, "Status".
 */
import type { IClientOptions } from 'mqtt'
import { Type } from 'typebox'
import { Shape } from '../oci/shape.ts'
import { BrokerConnection } from './connection.ts'
import { offlineDocument } from './edge-state.ts'
import type { Topics } from './topics.ts'
import { unlessAborted } from './within.ts'

/** Far beyond any edge's life, and far enough from where integers end. */
const shape = new Shape(Type.Object({ seq: Type.Integer({ minimum: 1, maximum: 2 ** 52 }) }))

/** Milliseconds that saying goodbye may take. */
const closeMs = 500

export interface SequenceOptions {
  /** As for the link itself: the same broker and the same rights. */
  readonly client: IClientOptions
  /** `host:port`, for messages. */
  readonly address: string
  readonly topics: Topics
  readonly edge: string
  /** Epoch milliseconds. */
  readonly now: number
  /** A broker that lets us read only some of our topics costs so long. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * The highest `seq` among the edge's retained statuses, 0 where there is none. Over a connection of its own, which leaves the
 * edge's session, and the plans that wait in it, alone. The end of the statuses is known by the echo of a message of our own that
 * is sent after them.
 * @throws LinkError `forbidden` when the broker lets us read none of it; others when it can't be had.
 */
export async function readSequence(options: SequenceOptions): Promise<number> {
  const { topics, address, signal, timeoutMs } = options
  const marker = offlineDocument(options.edge, options.now)
  const complete = Promise.withResolvers<undefined>()
  let highest = 0
  const { will: _none, properties, ...client } = options.client
  const connection = new BrokerConnection({
    client: {
      ...client,
      clientId: `${client.clientId}-recovery`,
      clean: true,
      ...(properties ? { properties: { ...properties, sessionExpiryInterval: 0 } } : {}),
    },
    address,
    onMessage: (topic, payload) => {
      const text = new TextDecoder().decode(payload)
      if (topic !== topics.state) highest = Math.max(highest, readSeq(text))
      else if (text === marker) complete.resolve(undefined)
    },
  })
  const hangUp = () => void connection.close(closeMs)
  await connection.open(signal)
  signal.addEventListener('abort', hangUp, { once: true })
  try {
    await connection.subscribe(topics.below('plans/+/status'), 0)
    await connection.subscribe(topics.state, 0)
    await connection.publish({ topic: topics.state, payload: marker, retain: true })
    const patience = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const failure = await unlessAborted(Promise.race([complete.promise, connection.ended]), patience)
    if (failure) throw failure
    return highest
  } finally {
    signal.removeEventListener('abort', hangUp)
    await connection.close(closeMs)
  }
}

function readSeq(text: string): number {
  let status: unknown
  try {
    status = JSON.parse(text)
  } catch {
    return 0
  }
  return shape.check(status) ? status.seq : 0
}
