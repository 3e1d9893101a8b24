/**
 * Every route of the running agent, as its own description names them, and the registry's port, with input that nobody should send: no
 * answer of the 5xx kind, none that tells of the inside, none that never comes, and an agent that works as before at the end.
 * FUZZ_SEED and FUZZ_ROUNDS try other input, and more of it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { Parse } from 'typebox/value'
import { Client, type Dispatcher } from 'undici'
import { AgentProcess } from '../fixtures/agent-process.ts'
import { Dice, hostileBodies, hostileTexts, hostileTypes, type Json, spoil } from '../fixtures/hostile.ts'

const seed = Number(process.env.FUZZ_SEED ?? 20_261_121)
const rounds = Number(process.env.FUZZ_ROUNDS ?? 60)
/** Whatever the rounds, it ends after so many milliseconds. */
const patience = 20_000 + rounds * 100
/** The longest that an answer may take: a check of a source that does not answer. */
const answerMs = 20_000
const atOnce = 8

const OpenApi = Type.Object({ paths: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown())) })
const Created = Type.Object({ token: Type.String() })

interface Route {
  readonly method: string
  /** With `{name}` for what is filled in. */
  readonly path: string
}

interface Call {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer | null
}

/** What calls are made with: mostly the right one, else most of what is behind the door would not be reached. */
interface Tokens {
  readonly right: string
  readonly others: readonly string[]
}

/** Documents that are right, to be spoiled: what is wrong in one place gets further than what is wrong everywhere. */
const registryRef = { name: 'main', namespace: 'default' }
const documents: readonly Json[] = [
  { metadata: { name: 'main' }, spec: { domain: '127.0.0.1:1', provider: 'other', username: 'u', password: 'p' } },
  {
    metadata: { name: 'web', annotations: { 'theriseunion.io/manual-sync': '1' }, labels: { a: 'b' } },
    spec: { repository: 'mecm/web', tag: '1', registryRef, syncInterval: '1h', syncTimeout: '1s', retryCount: 0 },
  },
  {
    metadata: { name: 'many' },
    spec: { repository: 'mecm/many', tagPattern: '>=1', registryRef, fallbackRefs: [registryRef] },
  },
  {
    metadata: { name: 'nightly' },
    spec: {
      keepRecent: 1,
      unusedDays: 1,
      schedule: '0 2 * * *',
      namespaces: ['default'],
      exclude: [{ name: 'a', tag: 'b' }],
    },
  },
  {
    ...{ apiVersion: 'image.mecm/v1', kind: 'DistributionPlan' },
    metadata: { name: 'shop', revision: 1, issuedAt: '2026-01-01T00:00:00Z' },
    spec: { images: [{ source: '127.0.0.1:1/mecm/web:1', platforms: ['linux/amd64'] }], priority: 5 },
  },
  { items: [{ metadata: { name: 'main' }, spec: { domain: '127.0.0.1:1', provider: 'other' } }] },
  { metadata: { annotations: { 'theriseunion.io/display-name': 'x' } } },
  { domain: '127.0.0.1:1', username: 'u', password: 'p' },
  { version: '1', tag: '1' },
  { name: 'fuzz', grants: [{ role: 'image-viewer', namespace: 'default' }], expiresAt: '2999-01-01T00:00:00Z' },
  { maxRate: '20Mbit' },
]

t.test(`hostile input, seed ${seed}`, { timeout: patience + 60_000 }, async t => {
  const { agent, admin, foreign } = await startAgent(t)
  const tokens = { right: admin, others: [foreign, 'wrong', 'x'.repeat(4_000), ''] }
  const api = new Fuzzer(t, agent.api, new Dice(seed), tokens)
  const described = Parse(
    OpenApi,
    JSON.parse((await api.send({ ...plain, path: '/openapi.json', headers: bearer(admin) })).text),
  )
  const routes = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(method => ({ method: method.toUpperCase(), path })),
  )
  t.ok(routes.length > 40, `${routes.length} routes`)
  await api.createObjects(admin)
  await api.attack(routes)

  const registry = new Fuzzer(t, `http://${agent.registry}`, new Dice(seed + 1), tokens)
  await registry.attack(registryRoutes)
  for (const { answers } of [api, registry]) {
    t.comment(
      [...answers]
        .sort()
        .map(([status, count]) => `${status}: ${count}`)
        .join(', '),
    )
    for (const status of [200, 400, 401, 403, 404]) t.ok((answers.get(status) ?? 0) > 0, `some are answered ${status}`)
  }

  const health = await api.send({ ...plain, path: '/healthz' })
  t.equal(health.status, 200, 'the agent answers still')
  const made = await api.send({
    ...{
      method: 'POST',
      path: `${base}/registry-secrets`,
      headers: { ...bearer(admin), 'content-type': 'application/json' },
    },
    body: JSON.stringify({ metadata: { name: 'after' }, spec: { domain: '127.0.0.1:1', provider: 'other' } }),
  })
  t.equal(made.status, 201, 'and works')
  const fatal = readFileSync(agent.logFile, 'utf8')
    .split('\n')
    .filter(line => /"level":(?:50|60)/.test(line))
  t.same(fatal, [], 'no fault of the inside is in the log')
})

const base = '/oapis/image.theriseunion.io/v1alpha1/namespaces/default'
const plain: Call = { method: 'GET', path: '/', headers: {}, body: null }
const registryRoutes: readonly Route[] = [
  ...['GET', 'HEAD', 'PUT', 'DELETE'].map(method => ({ method, path: '/v2/{name}/manifests/{reference}' })),
  ...['GET', 'HEAD', 'DELETE'].map(method => ({ method, path: '/v2/{name}/blobs/{digest}' })),
  { method: 'POST', path: '/v2/{name}/blobs/uploads/' },
  ...['GET', 'PATCH', 'PUT', 'DELETE'].map(method => ({ method, path: '/v2/{name}/blobs/uploads/{id}' })),
  ...['tags/list', 'referrers/{digest}'].map(path => ({ method: 'GET', path: `/v2/{name}/${path}` })),
  ...['/v2/', '/v2/_catalog', '/token'].map(path => ({ method: 'GET', path })),
]

async function startAgent(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'fuzz-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const agent = await AgentProcess.prepare({
    ...{ dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: ['127.0.0.1:1'] },
    push: true,
  })
  return { agent, ...(await begin(t, agent)) }
}

async function begin(t: Test, agent: AgentProcess) {
  await agent.start()
  t.teardown(() => agent.stop())
  const admin = readFileSync(agent.tokenFile, 'utf8').trim()
  const client = new Client(agent.api)
  const { body } = await client.request({
    ...{ method: 'POST', path: '/v1/tokens', headers: { ...bearer(admin), 'content-type': 'application/json' } },
    body: JSON.stringify({ name: 'foreign', grants: [{ role: 'image-operator', namespace: 'elsewhere' }] }),
  })
  const { token } = Parse(Created, await body.json())
  await client.close()
  return { admin, foreign: token }
}

/** Sends hostile calls to one port, and looks at what comes back. */
class Fuzzer {
  sent = 0
  /** How often each status was answered. */
  readonly answers = new Map<number, number>()
  readonly #t: Test
  readonly #origin: string
  readonly #dice: Dice
  readonly #tokens: Tokens

  constructor(t: Test, origin: string, dice: Dice, tokens: Tokens) {
    this.#t = t
    this.#origin = origin
    this.#dice = dice
    this.#tokens = tokens
  }

  /** So that calls about `main`, `web`, `nightly` and `shop` find something. */
  async createObjects(token: string): Promise<void> {
    const headers = { ...bearer(token), 'content-type': 'application/json' }
    const paths = [
      `${base}/registry-secrets`,
      `${base}/repositories`,
      `${base}/repositories`,
      `${base}/image-cleanup-policies`,
      '/v1/plans',
    ]
    for (const [at, path] of paths.entries()) {
      const { status } = await this.send({ method: 'POST', path, headers, body: JSON.stringify(documents[at]) })
      this.#t.match(String(status), /^20[12]$/, path)
    }
  }

  /** Every route in every round; several at once. */
  async attack(routes: readonly Route[]): Promise<void> {
    const end = Date.now() + patience
    const calls = Array.from({ length: rounds }, () => routes.map(route => this.#make(route))).flat()
    const work = async () => {
      for (let call = calls.pop(); call && Date.now() < end; call = calls.pop()) await this.#try(call)
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    this.#t.equal(calls.length, 0, 'all of it was sent in time')
  }

  /** One call over a connection of its own: what breaks that is not the next one's trouble. @throws when no answer comes. */
  async send(call: Call): Promise<{ status: number; text: string }> {
    this.sent += 1
    const client = new Client(this.#origin, { headersTimeout: answerMs, bodyTimeout: answerMs })
    try {
      const method = call.method as Dispatcher.HttpMethod
      const { statusCode, headers, body } = await client.request({ ...call, method })
      if (String(headers['content-type']).startsWith('text/event-stream')) {
        body.on('error', () => undefined).destroy() // it has no end
        return { status: statusCode, text: '' }
      }
      return { status: statusCode, text: await body.text() }
    } finally {
      await client.destroy()
    }
  }

  async #try(call: Call): Promise<void> {
    const told = `${call.method} ${call.path.slice(0, 120)} ${String(call.body ?? '').slice(0, 200)}`
    try {
      const { status, text } = await this.send(call)
      this.answers.set(status, (this.answers.get(status) ?? 0) + 1)
      if (status >= 500) this.#t.fail(`${status} to ${told}: ${text.slice(0, 300)}`)
      if (/\n\s+at |node_modules|SQLITE|\.ts:\d/.test(text))
        this.#t.fail(`tells of the inside: ${told}: ${text.slice(0, 300)}`)
    } catch (error) {
      // Refusing to read on is an answer, too, where the request is too large to be read.
      const code = error instanceof Error && 'code' in error ? error.code : ''
      const isLarge = (call.body?.length ?? 0) > 1_000_000
      if (!(isLarge && (code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET'))) {
        this.#t.fail(`no answer to ${told}: ${String(error)}`)
      }
    }
  }

  #make({ method, path }: Route): Call {
    const dice = this.#dice
    const filled = path.replace(/\{[^}]*\}/g, () => this.#segment())
    const query = dice.roll(3) === 0 ? `?${this.#query()}` : ''
    const type = dice.roll(5) === 0 ? dice.pick(hostileTypes) : 'application/json'
    const token = dice.roll(5) === 0 ? dice.pick(this.#tokens.others) : this.#tokens.right
    const takesBody = !['GET', 'HEAD'].includes(method) || dice.roll(10) === 0
    return {
      method: dice.roll(20) === 0 ? dice.pick(['PUT', 'OPTIONS', 'PATCH', 'DELETE', 'POST']) : method,
      path: `${filled}${query}`,
      headers: {
        ...(token === '' ? {} : bearer(token)),
        ...(takesBody && type !== undefined ? { 'content-type': type } : {}),
      },
      body: takesBody ? this.#body() : null,
    }
  }

  #segment(): string {
    const dice = this.#dice
    if (dice.roll(2) === 0) return dice.pick(['default', 'main', 'web', 'many', 'nightly', 'shop', 'mecm/web', '_all_'])
    const text = dice.pick(hostileTexts)
    // As it is where a request line can hold it: a client need not encode.
    return dice.roll(3) === 0 && /^[!-~]+$/.test(text) && !text.includes('?') ? text : encode(text)
  }

  #query(): string {
    const names = [
      'page',
      'limit',
      'search',
      'name',
      'repository',
      'a',
      'b',
      'n',
      'last',
      'since',
      'until',
      'user',
      'digest',
      'mount',
    ]
    return Array.from({ length: 1 + this.#dice.roll(3) }, () => {
      const name = this.#dice.roll(5) === 0 ? this.#dice.pick(hostileTexts) : this.#dice.pick(names)
      return `${encode(name)}=${encode(this.#dice.pick(hostileTexts))}`
    }).join('&')
  }

  #body(): string | Buffer {
    if (this.#dice.roll(4) === 0) return this.#dice.pick(hostileBodies)
    const document = this.#dice.pick(documents)
    return JSON.stringify(this.#dice.roll(5) === 0 ? document : spoil(document, this.#dice))
  }
}

function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` }
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}
