/** The other end: sends plans and hears statuses with an ordinary MQTT client, as any MECM would. */
import { EventEmitter, on } from 'node:events'
import mqtt, { type MqttClient } from 'mqtt'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import {
  isTerminal,
  type PlanProgress,
  PlanProgressSchema,
  type PlanStatus,
  PlanStatusSchema,
} from '../src/plans/status.ts'

const statusForm = Compile(PlanStatusSchema)
const progressForm = Compile(PlanProgressSchema)
const stateForm = Compile(Type.Object({ online: Type.Boolean() }))

interface Events {
  status: [PlanStatus]
  progress: [PlanProgress]
  state: [{ online: boolean }]
}

export class Mecm {
  readonly events = new EventEmitter<Events>()
  readonly #base: string
  readonly #client: MqttClient

  private constructor(client: MqttClient, base: string) {
    this.#client = client
    this.#base = base
    client.on('message', (topic, payload) => this.#hear(topic.slice(base.length + 1), payload.toString()))
  }

  /** Connects and listens to everything that the edge says. */
  static async connect(url: string, edge: string): Promise<Mecm> {
    const client = await mqtt.connectAsync(url, { protocolVersion: 4, clientId: 'mecm' })
    const base = `mecm/v1/edges/${edge}`
    const mecm = new Mecm(client, base)
    await client.subscribeAsync([`${base}/state`, `${base}/plans/+/status`, `${base}/plans/+/progress`], { qos: 1 })
    return mecm
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true)
  }

  /** `mecm/v1/edges/<edge>/plans/<plan>`. */
  topicOf(plan: string): string {
    return `${this.#base}/plans/${plan}`
  }

  /**
   * Publishes a plan, retained, and waits for the status that ends it.
   * @throws the signal's reason, or TimeoutError after 45 seconds.
   */
  async run(plan: { metadata: { name: string; revision: number } }, signal: AbortSignal): Promise<PlanStatus> {
    const { name, revision } = plan.metadata
    const ended = this.#wait(
      status => status.plan === name && status.revision === revision && isTerminal(status.phase),
      signal,
    )
    await this.#client.publishAsync(this.topicOf(name), JSON.stringify(plan), { qos: 1, retain: true })
    return await ended
  }

  /** Withdraws a plan by an empty retained message, and waits until the edge says so. */
  async withdraw(name: string, signal: AbortSignal): Promise<PlanStatus> {
    const ended = this.#wait(status => status.plan === name && status.phase === 'Withdrawn', signal)
    await this.#client.publishAsync(this.topicOf(name), '', { qos: 1, retain: true })
    return await ended
  }

  /** Resolves when the edge says that it is online, within 15 seconds. */
  async edgeOnline(signal: AbortSignal): Promise<void> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(15_000)])
    for await (const [state] of on(this.events, 'state', { signal: bounded })) if (state.online) return
  }

  async #wait(check: (status: PlanStatus) => boolean, signal: AbortSignal): Promise<PlanStatus> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(45_000)])
    for await (const [status] of on(this.events, 'status', { signal: bounded })) if (check(status)) return status
    throw new Error('no more statuses')
  }

  /** What is not of the promised form is not heard, so that the demo fails where the edge speaks otherwise. */
  #hear(topic: string, payload: string): void {
    if (payload === '') return
    const document: unknown = JSON.parse(payload)
    if (topic === 'state' && stateForm.Check(document)) this.events.emit('state', document)
    else if (topic.endsWith('/status') && statusForm.Check(document)) this.events.emit('status', document)
    else if (topic.endsWith('/progress') && progressForm.Check(document)) this.events.emit('progress', document)
  }
}
