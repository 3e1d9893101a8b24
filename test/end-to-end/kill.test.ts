/** The real agent is killed again and again: it goes on where it was, and fetches next to nothing twice. */
import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { AgentProcess } from '../fixtures/agent-process.ts'
import { planOf, startEdgeSite } from '../fixtures/edge-site.ts'
import type { FakeRegistry } from '../fixtures/fake-registry.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { readImage } from '../fixtures/read-back.ts'

const kills = 20
const MiB = 1024 * 1024
/** What may be between upstream and disk at once: the buffers of the sockets and of the agent, per blob. */
const onTheWay = MiB

t.test('kill -9 at twenty moments of a transfer', { timeout: 100_000 }, async t => {
  const { dir, upstream, mecm, agent } = await startEdgeSite(t)
  const layers = [18, 12, 6].map((size, at) => upstream.putGeneratedBlob('mecm/web', size * MiB, at))
  const { root } = upstream.putImage('mecm/web', '1', layers)
  const needed = layers.reduce((sum, layer) => sum + layer.size, 0)
  upstream.fault({ kind: 'blob' }, { do: 'slow', bytesPerSecond: 5 * MiB }, Number.POSITIVE_INFINITY)

  const source = `${upstream.host}/mecm/web:1`
  const ready = mecm.run(planOf('web', 1, [{ source }]), { timeoutMs: 90_000 })
  let lost = 0
  for (const { share, waitMs } of moments()) {
    await upstream.until(() => upstream.bytesSent({ kind: 'blob' }) - lost >= share * needed, 20_000)
    await delay(waitMs)
    await agent.kill()
    lost += await inFlight(upstream, dir)
    await agent.start()
  }
  t.equal((await ready).phase, 'Ready')
  const sent = upstream.bytesSent({ kind: 'blob' })
  t.ok(sent <= needed * 1.02 + lost, `${sent} bytes sent, ${needed} needed, ${lost} in flight`)
  t.ok(lost <= kills * layers.length * onTheWay, `${lost} bytes in flight in ${kills} kills`)
  t.ok(upstream.count({ kind: 'blob' }) > kills, 'the kills fell into the transfer')
  t.comment(`${sent} bytes sent, ${needed} needed, ${lost} in flight`)
  t.match(await readImage(agent.registry, 'mecm/web', root.digest), { blobs: layers.length + 1 })
})

t.test('a stopped agent goes on after its restart, and an image that is there is served meanwhile', async t => {
  const { upstream, mecm, agent } = await startEdgeSite(t)
  const first = upstream.putImage('mecm/first', '1', [seededBytes('first', 1000)])
  t.equal((await mecm.run(planOf('first', 1, [{ source: `${upstream.host}/mecm/first:1` }]))).phase, 'Ready')
  const layer = upstream.putGeneratedBlob('mecm/web', 8 * MiB)
  upstream.putImage('mecm/web', '1', [layer])
  upstream.fault({ kind: 'blob', reference: layer.digest }, { do: 'slow', bytesPerSecond: 8 * MiB })
  const ready = mecm.run(planOf('web', 1, [{ source: `${upstream.host}/mecm/web:1` }]))
  await upstream.until(() => upstream.bytesSent({ kind: 'blob', reference: layer.digest }) > 4 * MiB)
  await agent.stop()
  await agent.start()
  await readImage(agent.registry, 'mecm/first', first.root.digest)
  const status = await ready
  t.equal(status.phase, 'Ready')
  t.ok(status.bytes.resumed > 3 * MiB, 'what had arrived was used')
  t.ok(upstream.bytesSent({ kind: 'blob', reference: layer.digest }) < 9 * MiB)
})

t.test('a second agent on the same state folder is refused, and says who has it', async t => {
  const { dir, agent } = await startEdgeSite(t)
  const options = { dir: `${dir}/second`, edge: 'edge-02', platform: 'linux/amd64', upstreams: [] }
  const stateDir = `${dir}/state`
  const second = await AgentProcess.prepare({ ...options, more: { agent: { id: 'edge-02', stateDir } } })
  t.teardown(() => second.stop())
  await t.rejects(second.start(), new RegExp(`${agent.pid}`))
})

/** Bytes that upstream had sent of its blobs and that are not on the killed agent's disk. */
async function inFlight(upstream: FakeRegistry, dir: string): Promise<number> {
  const last = new Map(upstream.find({ kind: 'blob' }).map(request => [request.reference, request]))
  let bytes = 0
  for (const [digest, { headers, sent }] of last) {
    const [algorithm, hex] = digest.split(':')
    const registry = `${dir}/state/registry`
    if (await sizeOf(`${registry}/blobs/${algorithm}/${hex}`)) continue
    const start = Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)
    bytes += Math.max(0, start + sent - (await sizeOf(`${registry}/ingest/${algorithm}-${hex}`)))
  }
  return bytes
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch(() => undefined)
  return found?.size ?? 0
}

/** Twenty moments, the same in every run: how much has been sent by then, and a little more time. */
function moments(): { share: number; waitMs: number }[] {
  const random = seededBytes('moments', kills * 2)
  const shares = [...random.subarray(0, kills)].map(byte => (byte / 256) * 0.95).sort((a, b) => a - b)
  return shares.map((share, at) => ({ share, waitMs: (random[kills + at] ?? 0) % 40 }))
}
