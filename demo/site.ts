/** Everything that the demo runs: upstream, broker, MECM's end and the agent, in a temporary folder. Stops in reverse, whatever happened. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAedes, type TestBroker } from '../test/fixtures/aedes-broker.ts'
import { AgentProcess } from '../test/fixtures/agent-process.ts'
import { Mecm } from '../test/fixtures/mecm.ts'
import { sitePlatform } from './applications.ts'
import { Upstream } from './upstream.ts'

/** Bytes per second of the upstream: what a good line brings, and slow enough to watch. */
export const pace = 4_000_000
export const edge = 'demo-edge'

export interface Site {
  readonly upstream: Upstream
  readonly broker: TestBroker
  readonly mecm: Mecm
  readonly agent: AgentProcess
}

/** Starts everything and registers with `cleanup` how to undo it, step by step. */
export async function startSite(cleanup: AsyncDisposableStack, signal: AbortSignal): Promise<Site> {
  const dir = await mkdtemp(join(tmpdir(), 'edge-image-agent-demo-'))
  cleanup.defer(() => rm(dir, { recursive: true, force: true }))

  const upstream = new Upstream({ bytesPerSecond: pace })
  await upstream.start()
  cleanup.defer(() => upstream.stop())

  const broker = await startAedes()
  cleanup.defer(() => broker.close())

  const mecm = await Mecm.connect(broker.url, edge)
  cleanup.defer(() => mecm.close())

  const agent = await AgentProcess.prepare({
    dir,
    edge,
    platform: sitePlatform,
    upstreams: [upstream.host],
    mqtt: broker.url,
  })
  cleanup.defer(() => agent.stop())
  await Promise.all([agent.start(signal), mecm.edgeOnline({ signal })])
  return { upstream, broker, mecm, agent }
}
