import t from 'tap'
import { agentFacts, planStatus, startApi } from '../../fixtures/agent-facts.ts'

t.test('alive and ready', async t => {
  const { app } = await startApi(t)
  t.same((await app.inject('/healthz')).json(), { status: 'ok' })
  const answer = await app.inject('/readyz')
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { ready: true, problems: [], degraded: [] })
})

t.test('a broker that is away degrades; a local registry that is away makes unready', async t => {
  const degraded = ['the broker is away: connection refused']
  const problems = ['the local registry does not answer']
  const offline = await startApi(t, { facts: agentFacts({ readiness: async () => ({ problems: [], degraded }) }) })
  const answer = await offline.app.inject('/readyz')
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { ready: true, problems: [], degraded })

  const down = await startApi(t, { facts: agentFacts({ readiness: async () => ({ problems, degraded }) }) })
  const unready = await down.app.inject('/readyz')
  t.equal(unready.statusCode, 503)
  t.same(unready.json(), { ready: false, problems, degraded })

  const broken = await startApi(t, {
    facts: agentFacts({
      readiness: async () => {
        throw new Error('the disk is gone')
      },
    }),
  })
  const failed = await broken.app.inject('/readyz')
  t.equal(failed.statusCode, 503)
  t.match(failed.json(), { ready: false, problems: [/the disk is gone/] })
})

t.test('the status tells how this edge is', async t => {
  let now = 1_000_000
  const broker = { url: 'mqtt://broker:1883', connected: false, since: null, lastError: 'refused' }
  const lastError = { at: '2026-11-21T08:00:00Z', code: 'DNS', message: 'not found' }
  const upstreams = [
    {
      host: 'registry.example',
      requests: 3,
      receivedBytes: 700,
      lastError,
      goodput: null,
      restingUntil: null,
      why: null,
    },
  ]
  const facts = agentFacts({
    broker: () => broker,
    upstreams: () => upstreams,
    storage: async () => ({ usedBytes: 5, freeBytes: 50 }),
    outboxMessages: () => 2,
    readiness: async () => ({ problems: [], degraded: ['the broker is away'] }),
  })
  const { app, plans } = await startApi(t, { facts, now: () => now })
  plans.statuses.set('a', planStatus('a', 'Ready'))
  plans.statuses.set('b', planStatus('b', 'Ready'))
  plans.statuses.set('c', planStatus('c', 'Fetching'))
  now += 90_500
  t.same((await app.inject('/v1/status')).json(), {
    edge: 'edge-01',
    version: '0.1.0',
    startedAt: '1970-01-01T00:16:40.000Z',
    uptimeSeconds: 90,
    ready: true,
    problems: [],
    degraded: ['the broker is away'],
    broker,
    registry: { kind: 'embedded', address: '127.0.0.1:5000' },
    upstreams,
    link: {
      ...{ maxRate: null, maxRateBytes: null, configuredMaxRate: null, rateBytes: 0, receivedBytes: 0 },
      ...{ window: { open: true, changesAt: null }, budget: null },
    },
    storage: { usedBytes: 5, freeBytes: 50 },
    plans: { Ready: 2, Fetching: 1 },
    outboxMessages: 2,
  })
})

t.test('images, and a local registry that keeps silent about them', async t => {
  const held = {
    repository: 'mecm/web',
    tag: '2.1.0',
    digest: 'sha256:0',
    mediaType: 'x',
    size: 1,
    source: 'registry.example/mecm/web:2.1.0',
    updatedAt: '2026-11-21T08:00:00Z',
  }
  const { app } = await startApi(t, { facts: agentFacts({ images: async () => [held] }) })
  t.same((await app.inject('/v1/images')).json(), [held])
  const silent = agentFacts({ images: async () => Promise.reject(new DOMException('too late', 'TimeoutError')) })
  const answer = await (await startApi(t, { facts: silent })).app.inject('/v1/images')
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { error: { code: 'UNAVAILABLE' } })
})

t.test('metrics have the names and units of Prometheus, and are read when they are asked for', async t => {
  let fetched = 7
  const facts = agentFacts({
    blobsFetched: () => fetched,
    upstreams: () => [
      {
        host: 'registry.example',
        requests: 3,
        receivedBytes: 700,
        lastError: null,
        goodput: 1000,
        restingUntil: null,
        why: null,
      },
    ],
    storage: async () => ({ usedBytes: 5, freeBytes: null }),
    traffic: () => ({ pulls: 4, failedPulls: 1, servedBytes: 4000, pushes: 2, failedPushes: 3, pushedBytes: 600 }),
    figures: {
      syncFailures: () => 3,
      connectionFailures: () => new Map([['harbor', 6]]),
      versions: () => 9,
      disk: async () => ({ diskBytes: 1000, freeBytes: 250 }),
    },
    broker: () => ({ url: 'mqtt://b', connected: true, since: null, lastError: null }),
    outboxMessages: () => 2,
  })
  const { app, plans } = await startApi(t, { facts })
  plans.statuses.set('a', planStatus('a', 'Ready'))
  const answer = await app.inject('/metrics')
  t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const lines = new Set(answer.body.split('\n'))
  for (const line of [
    'edge_image_agent_upstream_received_bytes_total{host="registry.example"} 700',
    'edge_image_agent_upstream_requests_total{host="registry.example"} 3',
    'edge_image_agent_blobs_fetched_total 7',
    'edge_image_agent_registry_served_bytes_total 4000',
    'edge_image_agent_registry_pulls_total 4',
    'edge_image_agent_registry_pushes_total{outcome="success"} 2',
    'edge_image_agent_registry_pushes_total{outcome="failure"} 3',
    'edge_image_agent_registry_pushed_bytes_total 600',
    'edge_image_agent_plans{phase="Ready"} 1',
    'edge_image_agent_storage_bytes 5',
    'edge_image_agent_storage_free_bytes Nan',
    'edge_image_agent_mqtt_connected 1',
    'edge_image_agent_outbox_messages 2',
    'image_sync_failures 3',
    'image_registry_connection_failures{registry_name="harbor"} 6',
    'image_versions 9',
    'image_storage_bytes 5',
    'image_storage_usage_percent 75',
    'image_pull_total 5',
    'image_pull_success_total 4',
    `edge_image_agent_build_info{version="0.1.0",node="${process.versions.node}"} 1`,
    '# TYPE edge_image_agent_blobs_fetched_total counter',
  ]) {
    t.ok(lines.has(line), line)
  }
  t.match(answer.body, /^process_cpu_seconds_total /m)
  fetched = 8
  plans.statuses.clear()
  const later = (await app.inject('/metrics')).body
  t.match(later, /^edge_image_agent_blobs_fetched_total 8$/m)
  t.notMatch(later, /phase="Ready"/, 'a phase that no plan is in any more is gone')
})

t.test('what an agent does not have, it has no figures of: a registry of its own, a broker', async t => {
  const { app } = await startApi(t, { facts: agentFacts({ traffic: () => undefined, broker: () => undefined }) })
  t.notMatch((await app.inject('/metrics')).body, /registry_served|image_pull|mqtt_connected/)
})

t.test('the API describes itself, every route of it, and shows it without the network', async t => {
  const { app } = await startApi(t)
  const document = (await app.inject('/openapi.json')).json()
  t.equal(document.openapi, '3.1.0')
  t.strictSame(Object.keys(document.paths).sort(), [
    '/healthz',
    '/metrics',
    '/readyz',
    '/v1/audit',
    '/v1/audit/export',
    '/v1/audit/verify',
    '/v1/collection',
    '/v1/events',
    '/v1/images',
    '/v1/link',
    '/v1/plans',
    '/v1/plans/{name}',
    '/v1/plans/{name}/document',
    '/v1/plans/{name}/retry',
    '/v1/schemas/plan.json',
    '/v1/status',
    '/v1/tokens',
    '/v1/tokens/{id}',
    '/v1/vault/rotate',
    '/v1/why/{*}',
  ])
  t.match(document.paths['/v1/plans'].post, {
    requestBody: { content: { 'application/yaml': { schema: { title: 'DistributionPlan' } } } },
    responses: { 202: {}, 409: {}, 422: {} },
  })
  const page = await app.inject('/docs/')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.notMatch(page.body, /https?:\/\/(?!127)/, 'nothing from elsewhere')
  t.equal((await app.inject('/docs/static/swagger-ui-bundle.js')).statusCode, 200)
})

t.test('errors have one form, unforeseen ones tell nothing of the inside', async t => {
  const { app, plans } = await startApi(t)
  plans.list = () => {
    throw new Error('SELECT secret')
  }
  const fault = await app.inject('/v1/plans')
  t.equal(fault.statusCode, 500)
  t.match(fault.json(), { error: { code: 'INTERNAL', message: String, details: [] } })
  t.notMatch(fault.body, /secret/)
  const lost = await app.inject('/v2/')
  t.equal(lost.statusCode, 404)
  t.match(lost.json(), { error: { code: 'NOT_FOUND', message: /\/docs/ } })
  const bad = await app.inject('/v1/plans/%zz')
  t.equal(bad.statusCode, 400)
  t.match(bad.json(), { error: { code: 'INVALID_REQUEST' } })
  const long = await app.inject(`/v1/plans/${'a'.repeat(254)}`)
  t.ok([404, 414].includes(long.statusCode))
  t.match(long.json(), { error: { code: String } })
})
