/** Talks to the running agent's HTTP interface. Used by `plan …`, `status` and `images`. */
import { type Static, type TSchema, Type } from 'typebox'
import type { Agent, Dispatcher } from 'undici'
import {
  type AgentStatus,
  AgentStatusSchema,
  type ApiErrorCode,
  ErrorSchema,
  type HeldImage,
  HeldImageSchema,
} from '../http/api/shapes.ts'
import { Shape } from '../oci/shape.ts'
import { type PlanQuote, PlanQuoteSchema } from '../plans/quote.ts'
import { type PlanDocument, PlanSchema } from '../plans/schema.ts'
import { type PlanStatus, PlanStatusSchema } from '../plans/status.ts'
import type { ApiTarget } from './api-target.ts'
import { CliError } from './cli-error.ts'
import { readEvents, type ServerEvent } from './server-events.ts'

const maxAnswerBytes = 64 * 1024 * 1024
const answerTimeoutMs = 30_000

const planStatus = new Shape(PlanStatusSchema)
const planQuote = new Shape(PlanQuoteSchema)
const planDocument = new Shape(PlanSchema)
const planList = new Shape(Type.Array(PlanStatusSchema))
const imageList = new Shape(Type.Array(HeldImageSchema))
const agentStatus = new Shape(AgentStatusSchema)
const failure = new Shape(ErrorSchema)

/** The agent answered with an error. */
export class ApiFailure extends CliError {
  readonly code: ApiErrorCode
  /** Every single problem. */
  readonly details: readonly string[]

  constructor(code: ApiErrorCode, message: string, details: readonly string[], hint?: string) {
    super(message, hint === undefined ? {} : { hint })
    this.code = code
    this.details = details
  }
}

/** `body` is undefined where it is no JSON. */
export interface Answer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: unknown
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export class ApiClient {
  readonly #base: URL
  readonly #target: ApiTarget
  #agent: Promise<Agent> | undefined

  /** @throws CliError (2) when the address is no http URL. */
  constructor(target: ApiTarget) {
    const { address } = target
    const base = URL.canParse(address) ? new URL(address) : undefined
    if (base === undefined || !/^https?:$/.test(base.protocol)) {
      throw new CliError(`"${address}" is not the address of an agent: expected http://host:port`, { exitStatus: 2 })
    }
    this.#base = base
    this.#target = target
  }

  /** What to do where the token is not taken. */
  get tokenHint(): string {
    return this.#target.tokenHint
  }

  async close(): Promise<void> {
    const agent = await this.#agent
    await agent?.destroy()
  }

  /** Sends a plan. `accepted` is false where the agent knows this revision already. @throws ApiFailure, with every problem, where it is refused. */
  async submitPlan(payload: string): Promise<{ accepted: boolean; status: PlanStatus }> {
    const answer = await this.#ask('POST', '/v1/plans', payload)
    return { accepted: answer.statusCode === 202, status: this.#expect(answer, planStatus) }
  }

  /** Asks what a plan would take; nothing of it is stored or begun. @throws ApiFailure, as above. */
  async quotePlan(payload: string): Promise<PlanQuote> {
    return this.#expect(await this.#ask('POST', '/v1/plans?dryRun=true', payload), planQuote)
  }

  async listPlans(): Promise<readonly PlanStatus[]> {
    return this.#expect(await this.#ask('GET', '/v1/plans'), planList)
  }

  async findPlan(name: string): Promise<PlanStatus> {
    return this.#expect(await this.#ask('GET', planPath(name)), planStatus)
  }

  /** The plan as it was sent; nothing once it is withdrawn. */
  async findPlanDocument(name: string): Promise<PlanDocument | undefined> {
    try {
      return this.#expect(await this.#ask('GET', `${planPath(name)}/document`), planDocument)
    } catch (error) {
      if (error instanceof ApiFailure && error.code === 'PLAN_UNKNOWN') return undefined
      throw error
    }
  }

  async withdrawPlan(name: string): Promise<PlanStatus> {
    return this.#expect(await this.#ask('DELETE', planPath(name)), planStatus)
  }

  async retryPlan(name: string): Promise<PlanStatus> {
    return this.#expect(await this.#ask('POST', `${planPath(name)}/retry`), planStatus)
  }

  async listImages(): Promise<readonly HeldImage[]> {
    return this.#expect(await this.#ask('GET', '/v1/images'), imageList)
  }

  async agentStatus(): Promise<AgentStatus> {
    return this.#expect(await this.#ask('GET', '/v1/status'), agentStatus)
  }

  /** The agent's statuses and progress as they happen; resolves when the stream is open, so that nothing after is missed. */
  async openEvents(signal: AbortSignal): Promise<AsyncGenerator<ServerEvent>> {
    const response = await this.#send('GET', '/v1/events', { signal, bodyTimeout: 0, accept: 'text/event-stream' })
    if (response.statusCode !== 200) throw this.#unexpected(await readAnswer(response))
    return readEvents(response.body)
  }

  /** One call that answers with a shape. @throws ApiFailure. */
  async ask<T extends TSchema>(method: Method, path: string, shape: Shape<T>, payload?: string): Promise<Static<T>> {
    return this.#expect(await this.#ask(method, path, payload), shape)
  }

  /** The text of an answer, piece by piece as it comes. @throws ApiFailure. */
  async *stream(path: string): AsyncGenerator<string> {
    const response = await this.#send('GET', path, { accept: '*/*' })
    if (response.statusCode !== 200) throw this.#unexpected(await readAnswer(response))
    const decoder = new TextDecoder()
    for await (const chunk of response.body) yield decoder.decode(Buffer.from(chunk), { stream: true })
  }

  /** One call, whatever it answers. `payload` is JSON. @throws CliError where no agent answers. */
  call(method: Method, path: string, payload?: string): Promise<Answer> {
    return this.#ask(method, path, payload)
  }

  async #ask(method: Method, path: string, payload?: string): Promise<Answer> {
    return readAnswer(await this.#send(method, path, payload === undefined ? {} : { body: payload }))
  }

  async #send(
    method: Method,
    path: string,
    options: { body?: string; signal?: AbortSignal; bodyTimeout?: number; accept?: string },
  ): Promise<Dispatcher.ResponseData> {
    const { body, accept = 'application/json', ...rest } = options
    const { token } = this.#target
    const headers: Record<string, string> = { accept, ...(token ? { authorization: `Bearer ${token}` } : {}) }
    if (body !== undefined) headers['content-type'] = contentType(body)
    try {
      this.#agent ??= this.#makeAgent()
      const agent = await this.#agent
      const url = new URL(path, this.#base)
      return await agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers,
        ...(body === undefined ? {} : { body }),
        ...rest,
      })
    } catch (error) {
      if (options.signal?.aborted) throw error
      throw new CliError(`no agent answers at ${this.#base.origin} (${reasonOf(error)})`, {
        hint: 'start it (systemctl start edge-image-agent, or edge-image-agent run), or name its address with --api URL',
        cause: error,
      })
    }
  }

  /** The daemon loads this file with all commands, and needs no client. */
  async #makeAgent(): Promise<Agent> {
    const { Agent } = await import('undici')
    const { certificate } = this.#target
    return new Agent({
      connectTimeout: 5000,
      headersTimeout: answerTimeoutMs,
      bodyTimeout: answerTimeoutMs,
      ...(certificate === undefined ? {} : { connect: trustAlone(certificate) }),
    })
  }

  #expect<T extends TSchema>(answer: Answer, shape: Shape<T>): Static<T> {
    if (answer.statusCode < 300 && shape.check(answer.body)) return answer.body
    throw this.#unexpected(answer)
  }

  #unexpected({ statusCode, body }: Answer): CliError {
    if (failure.check(body)) {
      const { code, message, details } = body.error
      return new ApiFailure(code, message, details, code === 'UNAUTHORIZED' ? this.#target.tokenHint : undefined)
    }
    return new CliError(`what answers at ${this.#base.origin} (${statusCode}) is no edge-image-agent of this version`)
  }
}

/** Trusts this certificate and no other. It is known to be the agent's own, so its names don't matter. */
function trustAlone(certificate: string) {
  return { ca: certificate, allowPartialTrustChain: true, checkServerIdentity: () => undefined }
}

/** JSON, a signed plan (JWS, compact), or YAML. */
function contentType(body: string): string {
  if (body.trimStart().startsWith('{')) return 'application/json'
  return /^\s*eyJ[\w-]*\./.test(body) ? 'application/jose' : 'application/yaml'
}

function planPath(name: string): string {
  return `/v1/plans/${encodeURIComponent(name)}`
}

/** @throws CliError where the answer is larger than any of ours. */
async function readAnswer(response: Dispatcher.ResponseData): Promise<Answer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response.body) {
    const bytes = Buffer.from(chunk)
    size += bytes.byteLength
    if (size > maxAnswerBytes) throw new CliError(`the answer is larger than ${maxAnswerBytes} bytes`)
    chunks.push(bytes)
  }
  const { statusCode, headers } = response
  return { statusCode, headers, body: parseJson(Buffer.concat(chunks).toString('utf8')) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'connection refused',
    ENOTFOUND: 'the host name can not be resolved',
    EAI_AGAIN: 'the host name can not be resolved',
    UND_ERR_CONNECT_TIMEOUT: 'no connection within 5 s',
    UND_ERR_HEADERS_TIMEOUT: 'no answer within 30 s',
  }
  return reasons[code] ?? (error.message || code)
}
