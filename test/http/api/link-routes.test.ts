import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Link, type LinkOptions } from '../../../src/transfer/link/link.ts'
import { agentFacts, startApi } from '../../fixtures/agent-facts.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'

const logger = pino({ level: 'silent' })
const clock = new VirtualClock('2026-11-21T08:00:00Z')

async function apiOver(t: Test, options: Partial<LinkOptions>) {
  const link = new Link({ logger, clock, ...options })
  link.start()
  const { app } = await startApi(t, { facts: agentFacts({ link }) })
  return { app, link }
}

const rows = { find: () => undefined, put: () => undefined }
const limits = { bytes: 100, per: 'day', timezone: 'UTC', groups: [] } as const

t.test('the rate changes at once, is told, and may be taken away', async t => {
  const { app, link } = await apiOver(t, { maxRate: 1_000_000 })
  t.match((await app.inject('/v1/link')).json(), {
    maxRate: '8Mbit',
    maxRateBytes: 1_000_000,
    configuredMaxRate: '8Mbit',
  })
  const change = (maxRate: unknown) => app.inject({ method: 'PATCH', url: '/v1/link', payload: { maxRate } })
  t.match((await change('20Mbit')).json(), { maxRate: '20Mbit', maxRateBytes: 2_500_000, configuredMaxRate: '8Mbit' })
  t.equal(link.state.maxRate, 2_500_000)
  t.match((await app.inject('/v1/status')).json(), { link: { maxRate: '20Mbit', configuredMaxRate: '8Mbit' } })
  t.match((await change(null)).json(), { maxRate: null, maxRateBytes: null })
  t.equal(link.state.maxRate, undefined)
})

t.test('what is no rate changes nothing', async t => {
  const { app, link } = await apiOver(t, { maxRate: 1_000_000 })
  for (const payload of [{ maxRate: 'fast' }, { maxRate: '1bit' }, { maxRate: 20 }, {}, { rate: '1Mbit' }]) {
    const answer = await app.inject({ method: 'PATCH', url: '/v1/link', payload })
    t.equal(answer.statusCode, 400, JSON.stringify(payload))
    t.equal(answer.json().error.code, 'INVALID_REQUEST')
  }
  t.equal(link.state.maxRate, 1_000_000)
})

t.test('budget and window, in the answer and in the metrics', async t => {
  const windows = [{ from: 60, to: 120, timezone: 'UTC', days: ['sun'] as const }]
  const { app, link } = await apiOver(t, { windows, budget: { limits, rows } })
  link.body('up.example', undefined).came(130)
  t.match((await app.inject('/v1/link')).json(), {
    maxRate: null,
    receivedBytes: 130,
    window: { open: false, changesAt: '2026-11-22T01:00:00.000Z' },
    budget: {
      per: 'day',
      accounts: [
        {
          group: null,
          limitBytes: 100,
          usedBytes: 130,
          leftBytes: 0,
          debtBytes: 30,
          resetsAt: '2026-11-22T00:00:00.000Z',
        },
      ],
    },
  })
  const metrics = (await app.inject('/metrics')).body
  for (const line of [
    'window_open 0',
    'max_rate_bytes +Inf',
    'received_bytes_total 130',
    'rate_bytes 13',
    'budget_limit_bytes{group=""} 100',
    'budget_used_bytes{group=""} 130',
    'budget_left_bytes{group=""} 0',
    'budget_debt_bytes{group=""} 30',
  ]) {
    t.match(metrics, `edge_image_agent_link_${line}\n`)
  }
})
