/** edge-image-agent: as a daemon that is sent a plan, into its own registry or an external one, or as one `pull`. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { readEvents } from '../src/cli/server-events.ts'
import { AgentProcess } from '../test/fixtures/agent-process.ts'
import type { Contender, Session, Site, Wanted } from './contender.ts'
import { cpuOf, peakOf, resetPeak, runMeasured, type Usage } from './measure.ts'
import { type BenchRegistry, startRegistry } from './registries.ts'

export interface AgentOptions {
  readonly name: string
  /** `dist/main.js`. */
  readonly program: string
  /** More of its configuration, section by section. */
  readonly more?: Readonly<Record<string, object>>
}

/** The daemon, from the plan's arrival to `Ready`. */
export function agentDaemon({ name, program, more }: AgentOptions, into: 'embedded' | 'docker-registry'): Contender {
  return {
    name,
    into,
    lacks: () => undefined,
    open: async site => {
      const target = into === 'embedded' ? undefined : await startRegistry(join(site.dir, 'target'))
      const agent = await prepare(site, program, target, more)
      await agent.start()
      return new DaemonSession(agent, site, target)
    },
  }
}

/** `edge-image-agent pull`, its start included. */
export function agentPull({ name, program }: AgentOptions): Contender {
  return {
    name: `${name} pull`,
    into: 'embedded',
    lacks: () => undefined,
    open: async site => new PullSession(await prepare(site, program), site, program),
  }
}

function prepare(
  site: Site,
  program: string,
  target?: BenchRegistry,
  more?: AgentOptions['more'],
): Promise<AgentProcess> {
  return AgentProcess.prepare({
    dir: join(site.dir, 'agent'),
    edge: 'bench',
    platform: 'linux/amd64',
    upstreams: [site.upstream],
    program,
    more: { ...(target === undefined ? {} : { registry: { external: { url: `http://${target.host}` } } }), ...more },
  })
}

class DaemonSession implements Session {
  readonly registry: string
  readonly #agent: AgentProcess
  readonly #site: Site
  readonly #target: BenchRegistry | undefined
  #revision = 0
  #killed = false

  constructor(agent: AgentProcess, site: Site, target: BenchRegistry | undefined) {
    this.#agent = agent
    this.#site = site
    this.#target = target
    this.registry = target?.host ?? agent.registry
  }

  async bring(images: readonly Wanted[], signal: AbortSignal): Promise<Usage> {
    const restarted = this.#killed
    if (restarted) await this.#agent.start(signal)
    const pids = [this.#agent.pid, ...(this.#target ? [this.#target.pid] : [])]
    await resetPeak(this.#agent.pid)
    const before = await sumOf(pids)
    const headers = await this.#proof()
    const events = await request(`${this.#agent.api}/v1/events`, { headers, signal, bodyTimeout: 0 })
    // After a kill the plan is known, and goes on by itself.
    if (!restarted) await this.#send(images)
    this.#killed = false
    for await (const { event, data } of readEvents(events.body)) {
      if (event !== 'status') continue
      const status: { phase?: string; revision?: number; message?: string } = JSON.parse(data)
      if (status.revision !== this.#revision) continue
      if (status.phase === 'Failed' || status.phase === 'Rejected') throw new Error(status.message ?? status.phase)
      if (status.phase === 'Ready') {
        events.body.destroy()
        break
      }
    }
    signal.throwIfAborted()
    return { cpuMs: (await sumOf(pids)) - before, rssBytes: await peakOf(this.#agent.pid) }
  }

  async kill(): Promise<void> {
    this.#killed = true
    await this.#agent.kill()
  }

  async close(): Promise<void> {
    await this.#agent.stop()
    await this.#target?.stop()
  }

  async #proof(): Promise<Record<string, string>> {
    const token = await readFile(this.#agent.tokenFile, 'utf8')
    return { authorization: `Bearer ${token.trim()}` }
  }

  async #send(images: readonly Wanted[]): Promise<void> {
    const plan = {
      apiVersion: 'image.mecm/v1',
      kind: 'DistributionPlan',
      metadata: { name: 'bench', revision: ++this.#revision, issuedAt: new Date().toISOString() },
      spec: {
        images: images.map(({ image, pinned }) => ({
          source: `${this.#site.upstream}/${image.repository}:${image.tag}`,
          ...(pinned ? { digest: image.digest } : {}),
          platforms: ['all'],
        })),
      },
    }
    const { statusCode, body } = await request(`${this.#agent.api}/v1/plans`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(await this.#proof()) },
      body: JSON.stringify(plan),
    })
    const answer = await body.text()
    if (statusCode !== 202) throw new Error(`the agent answers ${statusCode}: ${answer.slice(0, 500)}`)
  }
}

class PullSession implements Session {
  readonly registry = undefined
  readonly #agent: AgentProcess
  readonly #site: Site
  readonly #program: string
  #stop = new AbortController()

  constructor(agent: AgentProcess, site: Site, program: string) {
    this.#agent = agent
    this.#site = site
    this.#program = program
  }

  async bring(images: readonly Wanted[], signal: AbortSignal): Promise<Usage> {
    const references = images.map(({ image, pinned }) => {
      const { repository, tag, digest } = image
      return `${this.#site.upstream}/${repository}:${tag}${pinned ? `@${digest}` : ''}`
    })
    this.#stop = new AbortController()
    await mkdir(join(this.#site.dir, 'agent'), { recursive: true })
    return await runMeasured(
      process.execPath,
      [this.#program, 'pull', '--config', this.#agent.configFile, '--json', '--platform', 'all', ...references],
      { signal: AbortSignal.any([signal, this.#stop.signal]), scratch: join(this.#site.dir, 'time') },
    )
  }

  async kill(): Promise<void> {
    this.#stop.abort(new Error('killed'))
  }

  async close(): Promise<void> {}
}

async function sumOf(pids: readonly number[]): Promise<number> {
  const times = await Promise.all(pids.map(cpuOf))
  return times.reduce((sum, time) => sum + time, 0)
}
