/** The contract's metrics against what has really happened to a running agent. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { request } from 'undici'
import { AgentProcess } from '../../fixtures/agent-process.ts'
import { putSample } from '../../fixtures/edge-site.ts'
import { FakeRegistry } from '../../fixtures/fake-registry.ts'
import { image } from '../../fixtures/images.ts'
import { readSeries } from '../../fixtures/metrics.ts'

const base = '/oapis/image.theriseunion.io/v1alpha1/namespaces/default'

t.test('each figure says what happened', { timeout: 60_000 }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'metrics-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const samples = ['1', '2'].map(tag => ({ tag, sample: image({ seed: `web-${tag}` }) }))
  for (const { tag, sample } of samples) putSample(upstream, 'mecm/web', tag, sample)
  const agent = await AgentProcess.prepare({
    ...{ dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: [upstream.host] },
  })
  t.teardown(() => agent.stop())
  await agent.start()
  const token = readFileSync(agent.tokenFile, 'utf8').trim()

  const call = async (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => {
    const answer = await request(`${agent.api}${base}/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    return { status: answer.statusCode, text: await answer.body.text() }
  }
  const addRepository = (name: string, spec: object) =>
    call('POST', 'repositories', {
      metadata: { name },
      spec: { repository: 'mecm/web', retryCount: 0, registryRef: { name: 'main', namespace: 'default' }, ...spec },
    })
  const ended = async (name: string) => {
    for (const end = Date.now() + 15_000; Date.now() < end; await delay(30)) {
      if (/"syncStatus":"(Success|Failed)"/.test((await call('GET', `repositories/${name}`)).text)) return
    }
    throw new Error(`${name} has not ended`)
  }
  const pull = async (path: string, method: 'GET' | 'HEAD' = 'GET') => {
    const answer = await request(`http://${agent.registry}/v2/mecm/web/${path}`, { method })
    await answer.body.dump()
    return answer.statusCode
  }
  const figures = async () => {
    const series = await readSeries(agent.api)
    return (name: string) => series.get(name)
  }

  const start = await figures()
  for (const name of ['image_sync_failures', 'image_versions', 'image_pull_total', 'image_pull_success_total']) {
    t.equal(start(name), 0, name)
  }

  for (const [name, domain] of [
    ['main', upstream.host],
    ['closed', '127.0.0.1:1'],
  ]) {
    const made = await call('POST', 'registry-secrets', { metadata: { name }, spec: { domain, provider: 'other' } })
    t.equal(made.status, 201)
  }
  t.equal((await figures())('image_registry_connection_failures{registry_name="closed"}'), 0, 'there from the start')
  for (const { tag } of samples) await addRepository(`web-${tag}`, { tag })
  await addRepository('absent', { tag: 'absent' })
  for (const name of ['web-1', 'web-2', 'absent']) await ended(name)
  await call('POST', 'registry-secrets/closed/verify', {})
  await call('POST', 'registry-secrets/main/verify', {})
  t.equal(await pull('manifests/1', 'HEAD'), 200)
  t.equal(await pull('manifests/1'), 200)
  t.equal(await pull(`manifests/${samples[1]?.sample.root.descriptor.digest}`), 200)
  t.equal(await pull('manifests/3'), 404)
  t.equal(await pull('manifests/3', 'HEAD'), 404)

  const after = await figures()
  t.equal(after('image_sync_failures'), 1)
  t.equal(after('image_registry_connection_failures{registry_name="closed"}'), 1)
  t.equal(after('image_registry_connection_failures{registry_name="main"}'), 0)
  t.equal(after('image_versions'), 2)
  t.equal(after('image_pull_total'), 3, 'HEAD asks, and takes nothing')
  t.equal(after('image_pull_success_total'), 2)
  const content = new Map(samples.flatMap(({ sample }) => [...sample.blobs]))
  const bytes = [...content.values(), ...samples.flatMap(({ sample }) => sample.manifests.map(one => one.bytes))]
  t.equal(
    after('image_storage_bytes'),
    bytes.reduce((sum, one) => sum + one.byteLength, 0),
  )
  const disk = await statfs(dir)
  const percent = 100 * (1 - disk.bavail / disk.blocks)
  t.ok(Math.abs((after('image_storage_usage_percent') ?? -1) - percent) < 1)

  t.equal((await call('DELETE', 'registry-secrets/closed')).status, 204)
  t.equal((await figures())('image_registry_connection_failures{registry_name="closed"}'), undefined)
})
