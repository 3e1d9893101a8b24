/** An external local registry keeps the same promises: what is staged survives a kill, and nothing is fetched or sent twice. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startAedes } from '../fixtures/aedes-broker.ts'
import { AgentProcess } from '../fixtures/agent-process.ts'
import { planOf } from '../fixtures/edge-site.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { Mecm } from '../fixtures/mecm.ts'

const MiB = 1024 * 1024
/** What may be between upstream and disk at once: the buffers of the sockets and of the agent. */
const onTheWay = MiB

async function startSite(t: Test) {
  const dir = await mkdtemp(join(tmpdir(), 'external-site-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const [upstream, registry] = await Promise.all([FakeRegistry.start(), FakeRegistry.start()])
  t.teardown(() => Promise.all([upstream.stop(), registry.stop()]))
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const mecm = await Mecm.connect(broker.url, 'edge-01')
  t.teardown(() => mecm.close())
  const agent = await AgentProcess.prepare({
    ...{ dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: [upstream.host], mqtt: broker.url },
    more: { registry: { external: { url: `http://${registry.host}` } } },
  })
  t.teardown(() => agent.stop())
  await Promise.all([agent.start(), mecm.edgeOnline()])
  return { upstream, registry, mecm, agent }
}

t.test('kill -9 in the middle of a blob: the staged prefix is gone on from', async t => {
  const { upstream, registry, mecm, agent } = await startSite(t)
  const layer = upstream.putGeneratedBlob('mecm/web', 8 * MiB)
  const { root } = upstream.putImage('mecm/web', '1', [layer])
  const blobRequests = { kind: 'blob', reference: layer.digest } as const
  upstream.fault(blobRequests, { do: 'slow', bytesPerSecond: 8 * MiB })
  const ready = mecm.run(planOf('web', 1, [{ source: `${upstream.host}/mecm/web:1` }]))
  await upstream.until(() => upstream.bytesSent(blobRequests) > 4 * MiB)
  await agent.kill()
  const before = upstream.bytesSent(blobRequests)
  await agent.start()
  t.equal((await ready).phase, 'Ready')
  t.equal(upstream.count(blobRequests), 2)
  t.ok(
    upstream.bytesSent(blobRequests) <= 8 * MiB + onTheWay,
    `${upstream.bytesSent(blobRequests)} sent, ${before} before the kill`,
  )
  t.equal(registry.content.repository('mecm/web').tags.get('1'), root.digest)
})

t.test('kill -9 in the middle of the upload: nothing is fetched again', async t => {
  const { upstream, registry, mecm, agent } = await startSite(t)
  const layer = upstream.putGeneratedBlob('mecm/web', 4 * MiB)
  const { root } = upstream.putImage('mecm/web', '1', [layer])
  registry.fault({ kind: 'upload' }, { do: 'hang' }, 2)
  const ready = mecm.run(planOf('web', 1, [{ source: `${upstream.host}/mecm/web:1` }]))
  await registry.until(() => registry.count({ kind: 'upload' }) >= 2)
  await upstream.until(() => upstream.bytesSent({ kind: 'blob' }) >= 4 * MiB)
  await agent.kill()
  const fetched = upstream.count({ kind: 'blob', method: 'GET' })
  await agent.start()
  t.equal((await ready).phase, 'Ready')
  t.equal(upstream.count({ kind: 'blob', method: 'GET' }), fetched)
  t.equal(registry.content.repository('mecm/web').tags.get('1'), root.digest)
})
