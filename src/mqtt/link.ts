/**
 * The link to the broker: made, kept, and made again for as long as the agent runs. Plans come in, statuses go out.
 * This file is its life; what passes over it is in the files beside it. Built by the agent, which starts and stops it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { IClientOptions } from 'mqtt'
import type { Logger } from 'pino'
import type { Outbox } from '../plans/outbox.ts'
import type { Plans } from '../plans/plans.ts'
import { Backoff } from './backoff.ts'
import { BrokerAddress, type BrokerOptions } from './broker-address.ts'
import { BrokerConnection } from './connection.ts'
import { offlineDocument } from './edge-state.ts'
import { LinkError, toLinkError } from './link-error.ts'
import { RepeatLog } from './repeat-log.ts'
import { readSequence } from './sequence.ts'
import { type ProblemSource, Session } from './session.ts'
import { Subscriptions } from './subscriptions.ts'
import { Topics } from './topics.ts'
import { unlessAborted } from './within.ts'

/** Milliseconds and counts that only tests have a reason to change. */
export interface LinkTiming {
  /** Upper ends of the first and of the longest delay between tries. */
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** A connection that lasted so long was a good one, and on a bad line they last no longer: the next try comes soon again. */
  readonly stableMs: number
  readonly connectTimeoutMs: number
  readonly keepaliveSeconds: number
  /** Between two looks whether the edge's state changed. */
  readonly stateIntervalMs: number
  /** Between two progress messages of one plan. */
  readonly progressIntervalMs: number
  /** How long a broker may take to tell the statuses that it holds. */
  readonly recoveryMs: number
  /** How long {@link MqttLink.stop} may take. */
  readonly stopMs: number
}

const defaultTiming: LinkTiming = {
  retryMinMs: 1_000,
  retryMaxMs: 120_000,
  stableMs: 10_000,
  connectTimeoutMs: 30_000,
  keepaliveSeconds: 60,
  stateIntervalMs: 60_000,
  progressIntervalMs: 1_000,
  recoveryMs: 10_000,
  stopMs: 2_000,
}

export interface MqttLinkOptions extends BrokerOptions {
  readonly prefix: string
  readonly edge: string
  readonly groups: readonly string[]
  /** How long the broker keeps what was published while the edge was away. */
  readonly sessionExpirySeconds: number
  readonly plans: Pick<Plans, 'receive' | 'events'>
  readonly outbox: Pick<Outbox, 'next' | 'acknowledged' | 'continueFrom' | 'repeatAll'>
  /** Bytes a second that progress may take now; no limit while undefined. */
  readonly progressAllowance?: () => number | undefined
  /** What `state` says beside `edge`, `online` and `at`. */
  readonly stateDocument: () => object
  /** Whether the sequence of statuses has yet to be taken up from the broker: the state folder is new, or never saw one. */
  readonly freshState: boolean
  readonly logger: Logger
  readonly now?: () => number
  readonly timing?: Partial<LinkTiming>
}

export interface LinkStatus {
  readonly connected: boolean
  /** Since when it is so; ISO 8601. */
  readonly since: string
  /** Why there is no connection, what the broker refuses on the one there is, or who most likely will end it; for people. */
  readonly lastError: string | null
  /** Without credentials. */
  readonly url: string
}

/** Larger than any plan that is taken: the broker drops what is beyond this, while a plan that is only too large gets its answer. */
const maximumPacketBytes = 8 * 1024 * 1024
/** Messages that the broker may send before the first is acknowledged: bounds what waits in memory. */
const receiveMaximum = 16
/** MQTT 5.0, section 3.1.2.11.2: this value would mean "never". */
const longestExpirySeconds = 0xffff_fffe

export class MqttLink {
  readonly #options: MqttLinkOptions
  readonly #timing: LinkTiming
  readonly #now: () => number
  readonly #address: BrokerAddress
  readonly #topics: Topics
  readonly #subscriptions: Subscriptions
  readonly #backoff: Backoff
  readonly #log: RepeatLog
  readonly #logger: Logger
  readonly #problems = new Map<ProblemSource, string>()
  readonly #stopping = new AbortController()
  #running: Promise<void> | undefined
  #version: 4 | 5 = 5
  #sequenceKnown: boolean
  #connected = false
  /** Connections in a row that the broker closed soon. */
  #shortLived = 0
  /** Said once after every failure that was said, so that the log ends with the truth and stays as short as that. */
  #saidConnected = false
  #since: number
  #lastError: string | null = null
  /** What was last said of a second agent with our id, until a connection has outlived its longest wait. */
  #rival: string | null = null

  /** @throws LinkError `address` when the URL isn't one. */
  constructor(options: MqttLinkOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#now = options.now ?? Date.now
    this.#since = this.#now()
    this.#sequenceKnown = !options.freshState
    this.#logger = options.logger
    this.#address = new BrokerAddress(options)
    this.#topics = new Topics(options.prefix, options.edge, options.groups)
    this.#subscriptions = new Subscriptions({
      topics: this.#topics,
      receive: arrival => options.plans.receive(arrival),
      logger: this.#logger,
    })
    this.#backoff = new Backoff({ minMs: this.#timing.retryMinMs, maxMs: this.#timing.retryMaxMs })
    this.#log = new RepeatLog(this.#logger, this.#now)
  }

  get status(): LinkStatus {
    const [problem] = this.#problems.values()
    return {
      connected: this.#connected,
      since: new Date(this.#since).toISOString(),
      lastError: this.#lastError ?? problem ?? (this.#isYoung() ? this.#rival : null),
      url: this.#address.redacted,
    }
  }

  /** Begins; does not wait for the broker, as an edge has to start without one, too. */
  async start(): Promise<void> {
    this.#running ??= this.#run(this.#stopping.signal)
  }

  /** Says goodbye to a broker that is there, and ends within two seconds in any case. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const failure = await this.#connectAndServe(signal)
      if (signal.aborted) return
      if (failure.code === 'version' && this.#version === 5) {
        this.#version = 4
        this.#logger.info({ url: this.#address.redacted }, 'the broker does not speak MQTT 5: going on with 3.1.1')
        continue
      }
      const waitMs = this.#backoff.next({ slow: failure.slow })
      if (this.#log.warn(failure.code, { url: this.#address.redacted, ...failure.fields }, failure.message)) {
        this.#saidConnected = false
      }
      await delay(waitMs, undefined, { signal }).catch(ignore)
    }
  }

  /** One connection, from its first byte to its last. Resolves with why it is over. */
  async #connectAndServe(signal: AbortSignal): Promise<LinkError> {
    let connection: BrokerConnection | undefined
    let session: Session | undefined
    let connectedAt = Number.POSITIVE_INFINITY
    try {
      if (!this.#sequenceKnown) await this.#recoverSequence(signal)
      connection = await this.#connect(signal)
      connectedAt = performance.now()
      this.#turn(true, null)
      // A broker that has forgotten our session has most likely forgotten our retained statuses with it
      if (!connection.sessionPresent) this.#options.outbox.repeatAll()
      session = this.#newSession(connection)
      session.start()
      const failure = await unlessAborted(connection.ended, signal)
      if (failure) throw failure
      await session.farewell(this.#timing.stopMs / 2)
      throw new LinkError('stopped', 'the link is being stopped')
    } catch (error) {
      const lastedMs = performance.now() - connectedAt
      const failure = this.#judge(toLinkError(error, this.#address.host), lastedMs)
      session?.stop()
      await connection?.close(this.#timing.stopMs / 2)
      this.#turn(false, failure.code === 'stopped' ? null : failure.message)
      if (lastedMs >= this.#timing.retryMaxMs) this.#rival = null
      if (failure.code === 'taken-over' || failure.code === 'short-lived') this.#rival = failure.message
      return failure
    }
  }

  /**
   * A connection that lasted begins the count of failures anew. One that is closed again and again soon after it was made
   * (negative: it never was) has most likely a rival: few brokers say so, and none can in 3.1.1.
   */
  #judge(failure: LinkError, lastedMs: number): LinkError {
    if (lastedMs >= this.#timing.stableMs) {
      this.#backoff.reset()
      this.#shortLived = 0
    } else if (lastedMs >= 0 && failure.code === 'closed') {
      this.#shortLived += 1
      if (this.#shortLived >= 3) {
        const words =
          'closes our connections soon after they are made: is there a second agent with the same `agent.id`?'
        return new LinkError('short-lived', `${this.#address.host} ${words}`, failure)
      }
    }
    return failure
  }

  /** Whether there is a connection that a rival, which waits for its turn again, may not have had the time to end. */
  #isYoung(): boolean {
    return this.#connected && this.#now() - this.#since < this.#timing.retryMaxMs
  }

  async #connect(signal: AbortSignal): Promise<BrokerConnection> {
    const connection: BrokerConnection = new BrokerConnection({
      client: await this.#clientOptions(),
      address: this.#address.host,
      onMessage: (...message) => this.#subscriptions.take(connection, ...message),
    })
    await connection.open(signal)
    if (!this.#saidConnected) {
      const fields = { url: this.#address.redacted, version: this.#version, sessionPresent: connection.sessionPresent }
      this.#logger.info(fields, 'connected to the broker')
      this.#saidConnected = true
    }
    return connection
  }

  /** Before the first plan is received. A broker that does not allow it keeps nothing else from working. */
  async #recoverSequence(signal: AbortSignal): Promise<void> {
    try {
      const seq = await readSequence({
        client: await this.#clientOptions(),
        address: this.#address.host,
        topics: this.#topics,
        edge: this.#options.edge,
        now: this.#now(),
        timeoutMs: this.#timing.recoveryMs,
        signal,
      })
      this.#options.outbox.continueFrom(seq)
      if (seq > 0) {
        this.#logger.info(
          { seq },
          'the state folder is new: the sequence of statuses goes on from what the broker holds',
        )
      }
    } catch (error) {
      if (!(error instanceof LinkError && error.code === 'forbidden')) throw error
      this.#options.outbox.continueFrom(0)
      this.#logger.warn(error.fields, `${error.message}: the sequence of our statuses begins anew`)
    }
    this.#sequenceKnown = true
  }

  async #clientOptions(): Promise<IClientOptions> {
    const { edge, sessionExpirySeconds } = this.#options
    const properties = {
      sessionExpiryInterval: Math.min(Math.round(sessionExpirySeconds), longestExpirySeconds),
      maximumPacketSize: maximumPacketBytes,
      receiveMaximum,
    }
    return {
      ...(await this.#address.clientOptions()),
      clientId: `edge-image-agent-${edge}`,
      protocolVersion: this.#version,
      clean: false,
      // The cache holds a buffer for each of 65,536 numbers, 10 MB that save this link nothing.
      writeCache: false,
      keepalive: this.#timing.keepaliveSeconds,
      connectTimeout: this.#timing.connectTimeoutMs,
      will: { topic: this.#topics.state, payload: Buffer.from(offlineDocument(edge)), qos: 1, retain: true },
      ...(this.#version === 5 ? { properties } : {}),
    }
  }

  #newSession(connection: BrokerConnection): Session {
    const { edge, plans, outbox, stateDocument, progressAllowance } = this.#options
    return new Session({
      connection,
      version: this.#version,
      topics: this.#topics,
      subscriptions: this.#subscriptions,
      edge,
      plans,
      outbox,
      ...(progressAllowance ? { progressAllowance } : {}),
      stateDocument,
      timing: this.#timing,
      now: this.#now,
      onProblem: (source, problem) => this.#noteProblem(source, problem),
    })
  }

  /** What the broker refuses on a connection that stands. */
  #noteProblem(source: ProblemSource, problem: LinkError | undefined): void {
    if (!problem) {
      if (this.#problems.delete(source)) this.#log.forget(source)
      return
    }
    if (!this.#connected) return
    this.#problems.set(source, problem.message)
    this.#log.warn(source, problem.fields, problem.message)
  }

  #turn(connected: boolean, lastError: string | null): void {
    if (this.#connected !== connected) this.#since = this.#now()
    this.#connected = connected
    this.#lastError = lastError
    this.#problems.clear()
  }
}

function ignore(): void {}
