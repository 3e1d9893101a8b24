/** Everything that the demo runs: upstream, broker, MECM's end and the agent, in a temporary folder. Stops in reverse, whatever happened. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/fixtures/programs.ts'
import { AgentProcess } from './agent-process.ts'
import { sitePlatform } from './applications.ts'
import { Broker } from './broker.ts'
import { Mecm } from './mecm.ts'
import { Upstream } from './upstream.ts'

/** Bytes per second of the upstream: what a good line brings, and slow enough to watch. */
export const pace = 8_000_000
export const edge = 'demo-edge'

export interface Site {
  readonly upstream: Upstream
  readonly broker: Broker
  readonly mecm: Mecm
  readonly agent: AgentProcess
  /** `127.0.0.1:port` of the local registry, where nodes would pull. */
  readonly registry: string
  /** `http://127.0.0.1:port` of the agent's own HTTP server. */
  readonly api: string
}

/** Starts everything and registers with `cleanup` how to undo it, step by step. */
export async function startSite(cleanup: AsyncDisposableStack, signal: AbortSignal): Promise<Site> {
  const dir = await mkdtemp(join(tmpdir(), 'edge-image-agent-demo-'))
  cleanup.defer(() => rm(dir, { recursive: true, force: true }))

  const upstream = new Upstream({ bytesPerSecond: pace })
  await upstream.start()
  cleanup.defer(() => upstream.stop())

  const broker = new Broker()
  await broker.start()
  cleanup.defer(() => broker.stop())

  const mecm = await Mecm.connect(broker.url, edge)
  cleanup.defer(() => mecm.close())

  const registry = `127.0.0.1:${await freePort()}`
  const listen = `127.0.0.1:${await freePort()}`
  const api = `http://${listen}`
  const config = {
    agent: { id: edge, platforms: [sitePlatform], stateDir: join(dir, 'state') },
    registry: { embedded: { listen: registry } },
    upstreams: [{ host: upstream.host, plainHttp: true }],
    mqtt: { url: broker.url },
    api: { listen },
  }
  const agent = new AgentProcess({ dir, config, api })
  cleanup.defer(() => agent.stop())
  const online = mecm.edgeOnline(signal)
  await Promise.all([agent.start(signal), online])
  return { upstream, broker, mecm, agent, registry, api }
}
