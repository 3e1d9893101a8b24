import t from 'tap'
import { maxPlanBytes } from '../../../src/plans/schema.ts'
import { planQuote, planStatus, startApi } from '../../fixtures/agent-facts.ts'

const yaml = { 'content-type': 'application/yaml' }

t.test('a plan reaches the intake byte for byte, whatever it is written in', async t => {
  const { app, plans } = await startApi(t)
  plans.statuses.set('shop', planStatus('shop'))
  const types = ['application/json', 'application/yaml; charset=utf-8', 'text/yaml', 'application/x-yaml']
  for (const type of types) {
    const payload = `kind: DistributionPlan # ${type} ü`
    const answer = await app.inject({ method: 'POST', url: '/v1/plans', headers: { 'content-type': type }, payload })
    t.equal(answer.statusCode, 202, type)
    t.same(answer.json(), planStatus('shop'))
    const arrival = plans.arrivals.at(-1)
    t.equal(arrival?.via, 'http')
    t.equal(Buffer.from(arrival?.payload ?? []).toString(), payload)
  }
})

t.test('every outcome has its status code and the one form of an error', async t => {
  const { app, plans } = await startApi(t)
  plans.statuses.set('shop', planStatus('shop', 'Ready'))
  const send = () => app.inject({ method: 'POST', url: '/v1/plans', headers: yaml, payload: 'x' })

  plans.next = { outcome: 'unchanged', name: 'shop', revision: 1 }
  t.equal((await send()).statusCode, 200)
  plans.next = { outcome: 'withdrawn', name: 'shop' }
  t.equal((await send()).statusCode, 200)

  plans.next = { outcome: 'stale', name: 'shop', problems: ['revision 3 is lower than 4'] }
  const stale = await send()
  t.equal(stale.statusCode, 409)
  t.match(stale.json(), { error: { code: 'STALE_REVISION', message: /revision 3/ } })

  const problems = ['/spec/color: is not known', '/metadata/name: is missing']
  plans.next = { outcome: 'rejected', name: '', problems }
  const rejected = await send()
  t.equal(rejected.statusCode, 422)
  t.same(rejected.json().error.details, problems)
  t.equal(rejected.json().error.code, 'PLAN_INVALID')

  plans.next = { outcome: 'unknown', name: 'gone' }
  t.equal((await send()).statusCode, 404)
})

t.test('what is no plan at all is refused with a reason', async t => {
  const { app, plans } = await startApi(t)
  const post = (headers: Record<string, string>, payload?: string | Buffer) =>
    app.inject({ method: 'POST', url: '/v1/plans', headers, ...(payload === undefined ? {} : { payload }) })

  const shapeless = await post({ 'content-type': 'yaml' }, 'kind: DistributionPlan')
  t.equal(shapeless.statusCode, 400)
  t.match(shapeless.json(), { error: { code: 'INVALID_REQUEST', message: /no media type/, details: [] } })
  t.equal((await post(yaml, Buffer.alloc(maxPlanBytes + 1))).statusCode, 413)
  t.match((await post(yaml, Buffer.alloc(maxPlanBytes + 1))).json(), {
    error: { code: 'TOO_LARGE', message: /1048576/ },
  })
  t.equal((await post({})).statusCode, 422)
  t.equal(plans.arrivals.length, 0)
  t.equal((await post(yaml, Buffer.alloc(maxPlanBytes, 'x'))).statusCode, 404, 'the limit itself is let through')
  t.equal(plans.arrivals.length, 1)
})

t.test('a plan is read whatever type it is sent with, and without one', async t => {
  const { app, plans } = await startApi(t)
  const types = ['application/x-www-form-urlencoded', 'text/plain', 'application/vnd.site+yaml', undefined]
  for (const [at, type] of types.entries()) {
    const headers = type === undefined ? {} : { 'content-type': type }
    await app.inject({ method: 'POST', url: '/v1/plans', headers, payload: Buffer.from('kind: DistributionPlan') })
    t.equal(plans.arrivals.length, at + 1, type ?? 'none')
  }
})

t.test('plans are listed, shown, withdrawn and tried again', async t => {
  const { app, plans } = await startApi(t)
  t.same((await app.inject('/v1/plans')).json(), [])
  plans.statuses.set('shop', planStatus('shop', 'Failed'))
  plans.statuses.set('till', planStatus('till', 'Ready', 2))
  t.same((await app.inject('/v1/plans')).json(), [planStatus('shop', 'Failed'), planStatus('till', 'Ready', 2)])
  t.same((await app.inject('/v1/plans/till')).json(), planStatus('till', 'Ready', 2))

  t.equal((await app.inject({ method: 'POST', url: '/v1/plans/shop/retry' })).statusCode, 202)
  t.equal((await app.inject({ method: 'POST', url: '/v1/plans/till/retry' })).statusCode, 200)
  const json = { 'content-type': 'application/json' }
  t.equal((await app.inject({ method: 'POST', url: '/v1/plans/till/retry', headers: json })).statusCode, 200)

  const withdrawn = await app.inject({ method: 'DELETE', url: '/v1/plans/shop' })
  t.equal(withdrawn.statusCode, 200)
  t.equal(withdrawn.json().phase, 'Withdrawn')
  plans.statuses.set('bad', planStatus('bad', 'Rejected'))
  plans.withdraw = name => {
    plans.statuses.delete(name)
    return { outcome: name === 'bad' ? 'withdrawn' : 'unknown', name }
  }
  const forgotten = await app.inject({ method: 'DELETE', url: '/v1/plans/bad' })
  t.equal(forgotten.statusCode, 200, 'a refused plan is forgotten with its withdrawal')
  t.same(forgotten.json(), planStatus('bad', 'Rejected'))
  for (const request of [
    { method: 'GET', url: '/v1/plans/none' },
    { method: 'DELETE', url: '/v1/plans/none' },
    { method: 'POST', url: '/v1/plans/none/retry' },
    { method: 'GET', url: `/v1/plans/${'a'.repeat(128)}` },
  ] as const) {
    const answer = await app.inject(request)
    t.equal(answer.statusCode, 404)
    t.match(answer.json(), { error: { code: 'PLAN_UNKNOWN', details: [] } })
  }
})

t.test('the schema of a plan is served', async t => {
  const { app } = await startApi(t)
  const answer = await app.inject('/v1/schemas/plan.json')
  t.match(answer.headers['content-type'], /^application\/schema\+json/)
  t.match(answer.json(), { $schema: String, title: 'DistributionPlan', properties: { spec: Object } })
})

t.test('a dry run answers the quote and hands nothing in', async t => {
  const { app, plans } = await startApi(t)
  const post = (url: string) => app.inject({ method: 'POST', url, headers: yaml, payload: 'kind: DistributionPlan' })
  const refused = await post('/v1/plans?dryRun=true')
  t.equal(refused.statusCode, 422)
  t.same(refused.json().error.details, ['nothing is set'])
  plans.nextQuote = planQuote()
  const answer = await post('/v1/plans?dryRun=true')
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), { plan: 'shop', quote: { verdict: 'Accepted', bytesMissing: 60 } })
  t.equal(plans.arrivals.length, 0)
  t.equal((await post('/v1/plans?dryRun=yes')).statusCode, 400, 'no plan is begun by a slip of the pen')
  t.equal(plans.arrivals.length, 0)
})

t.test('a few dry runs at once', async t => {
  const { app, plans } = await startApi(t)
  let release = () => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  plans.quote = async () => {
    await gate
    return planQuote()
  }
  const post = () => app.inject({ method: 'POST', url: '/v1/plans?dryRun=true', headers: yaml, payload: 'x' })
  const five = [post(), post(), post(), post(), post()]
  t.equal((await Promise.race(five)).statusCode, 503)
  release()
  const codes = (await Promise.all(five)).map(answer => answer.statusCode)
  t.same(codes.sort(), [200, 200, 200, 200, 503])
})
