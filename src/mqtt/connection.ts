/**
 * One connection to the broker, from CONNECT to its end: over mqtt.js, whose own reconnecting, resubscribing and queueing
 * are switched off. A new connection is a new client, so nothing of a broken one (timers, packet ids, callbacks) is carried over.
 * Used by link.ts, one at a time.
 */
import { connect, type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from 'mqtt'
import { LinkError, toLinkError } from './link-error.ts'
import { within } from './within.ts'

export interface ConnectionOptions {
  readonly client: IClientOptions
  /** `host:port`, for messages. */
  readonly address: string
  /** Takes a message. What it throws leaves the message unacknowledged and ends the connection, so that it comes again. */
  /** `retained`: the broker has kept it, and tells it because of a subscription. */
  readonly onMessage: (topic: string, payload: Uint8Array, retained: boolean) => void
}

/** What the connection wants to publish. */
export interface Publication {
  readonly topic: string
  readonly payload: string
  readonly retain: boolean
}

export class BrokerConnection {
  readonly #options: ConnectionOptions
  readonly #connected = Promise.withResolvers<undefined>()
  readonly #ended = Promise.withResolvers<LinkError>()
  /** Whoever waits for the broker's answer, to be told when there won't be one. */
  readonly #waiting = new Set<(error: LinkError) => void>()
  #client: MqttClient | undefined
  #error: LinkError | undefined
  #accepted = false
  #closing = false
  #sessionPresent = false
  /** Publications that wait for their PUBACK. */
  #unacknowledged = 0
  #room = Promise.withResolvers<void>()

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Resolves with the reason when the connection is over, however it ended. */
  get ended(): Promise<LinkError> {
    return this.#ended.promise
  }

  /** Whether the broker went on with an earlier session: its subscriptions stand. */
  get sessionPresent(): boolean {
    return this.#sessionPresent
  }

  /** Whether it has ended. */
  get over(): boolean {
    return this.#error !== undefined
  }

  /** Whether what was written before still waits for the link. */
  get congested(): boolean {
    return this.#client === undefined || this.#client.stream.writableLength > 0
  }

  /** Connects. @throws LinkError when the broker can't be had, or `signal` was first. */
  async open(signal: AbortSignal): Promise<void> {
    const abort = () => this.#end(new LinkError('stopped', 'the link is being stopped'))
    signal.addEventListener('abort', abort, { once: true })
    try {
      if (signal.aborted) abort()
      else this.#connect()
      const failure = await Promise.race([this.#connected.promise, this.ended])
      if (failure) throw failure
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  #connect(): void {
    const client = connect({
      ...this.#options.client,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
    })
    this.#client = client
    // mqtt.js sends the PUBACK once this calls back without an error, and none otherwise.
    client.handleMessage = (packet, done) => done(this.#take(packet))
    client.on('connect', connack => this.#accept(connack))
    client.on('error', error => this.#end(toLinkError(error, this.#options.address)))
    client.on('disconnect', packet => this.#end(toLinkError(reasonError(packet.reasonCode), this.#options.address)))
    client.on('close', () => this.#end(this.#closed()))
  }

  #accept(connack: IConnackPacket): void {
    const { maximumQoS, retainAvailable } = connack.properties ?? {}
    if (maximumQoS === 0 || retainAvailable === false) {
      this.#end(toLinkError(reasonError(maximumQoS === 0 ? 155 : 154), this.#options.address))
      return
    }
    this.#accepted = true
    this.#sessionPresent = connack.sessionPresent
    this.#connected.resolve(undefined)
  }

  #take(packet: IPublishPacket): Error | undefined {
    if (this.#error || this.#closing) return this.#error ?? new LinkError('stopped', 'the link is being stopped')
    try {
      this.#options.onMessage(packet.topic, Buffer.from(packet.payload), packet.retain)
      return undefined
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const failure = new LinkError('not-stored', `a plan could not be stored and is asked for again: ${why}`, error)
      this.#end(failure)
      return failure
    }
  }

  /**
   * Publishes with QoS 1 and resolves when the broker has acknowledged; waits its turn where the broker takes only so many at once.
   * @throws LinkError `forbidden` or `too-large` when the broker refuses, others when the connection ended first.
   */
  async publish({ topic, payload, retain }: Publication): Promise<void> {
    const { receiveMaximum = 65_535, maximumPacketSize } = this.#client?.serverProperties ?? {}
    // A packet beyond the broker's limit would cost the whole connection, again and again. 16 covers the header's other parts.
    const size = Buffer.byteLength(topic) + Buffer.byteLength(payload) + 16
    if (maximumPacketSize !== undefined && size > maximumPacketSize) {
      throw toLinkError(reasonError(149), this.#options.address)
    }
    while (this.#unacknowledged >= receiveMaximum) await this.#room.promise
    this.#unacknowledged += 1
    try {
      await this.#answered((client, done) => {
        client.publish(topic, payload, { qos: 1, retain }, error => {
          if (!error) done()
          else if ('code' in error) done(refusal('publish on', topic, error))
          else this.#end(this.#closed())
        })
      })
    } finally {
      this.#unacknowledged -= 1
      this.#room.resolve()
      this.#room = Promise.withResolvers<void>()
    }
  }

  /** Publishes with QoS 0: sent if the connection lives, forgotten otherwise. */
  offer(topic: string, payload: string): void {
    if (this.#error || !this.#client?.connected) return
    this.#client.publish(topic, payload, { qos: 0 }, ignore)
  }

  /**
   * Subscribes with QoS 1. `retainHandling` as in MQTT 5.0, section 3.8.3.1; 3.1.1 knows only 0.
   * @throws LinkError `forbidden` when the broker refuses the filter, or as the connection ended.
   */
  subscribe(filter: string, retainHandling: 0 | 1): Promise<void> {
    return this.#answered((client, done) => {
      client.subscribe(filter, { qos: 1, rh: retainHandling }, (error, _granted, suback) => {
        if (!error) done()
        else if (suback) done(refusal('subscribe to', filter, error))
        else this.#end(this.#closed())
      })
    })
  }

  /** @throws LinkError as the connection ended. */
  unsubscribe(filter: string): Promise<void> {
    return this.#answered((client, done) => {
      client.unsubscribe(filter, error => {
        if (error) this.#end(this.#closed())
        else done()
      })
    })
  }

  /** Ends with a proper DISCONNECT, so that the last will is not sent; after `timeoutMs` without ceremony. */
  async close(timeoutMs: number): Promise<void> {
    const client = this.#client
    if (!client || this.#error) return
    this.#closing = true
    await within(client.endAsync(), timeoutMs)
    this.#end(new LinkError('stopped', 'the link is being stopped'))
  }

  /** Runs a request of the client, which calls back with the broker's answer; the end of the connection is one, too. */
  #answered(request: (client: MqttClient, done: (refusal?: LinkError) => void) => void): Promise<void> {
    const client = this.#client
    if (this.#error || !client) return Promise.reject(this.#error ?? new LinkError('closed', 'there is no connection'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.add(reject)
    request(client, refused => {
      this.#waiting.delete(reject)
      if (refused) reject(refused)
      else resolve()
    })
    return promise
  }

  #closed(): LinkError {
    const { address } = this.#options
    return this.#accepted
      ? new LinkError('closed', `${address} closed the connection`)
      : new LinkError(
          'closed',
          `${address} closed the connection before it answered: is this a broker's port, and is TLS right?`,
        )
  }

  /** The first reason is the one that counts. Frees the socket and the client's timers. */
  #end(error: LinkError): void {
    if (this.#error) return
    this.#error = error
    this.#client?.end(true)
    this.#client?.stream.destroy()
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
    this.#ended.resolve(error)
  }
}

function refusal(what: string, topic: string, error: Error): LinkError {
  const message = `the broker does not let us ${what} ${topic} (${error.message}); check its access rules`
  return new LinkError('forbidden', message, error)
}

function reasonError(reason: number | undefined): Error {
  return Object.assign(new Error(`reason code ${reason ?? 0}`), { code: reason ?? 0 })
}

function ignore(): void {}
