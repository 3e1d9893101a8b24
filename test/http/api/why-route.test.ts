import t from 'tap'
import type { PlanWhy } from '../../../src/plans/why.ts'
import { agentFacts, startApi } from '../../fixtures/agent-facts.ts'

const held = {
  ...{ repository: 'mecm/web', tag: '1', digest: `sha256:${'a'.repeat(64)}`, mediaType: null, size: 1 },
  ...{ source: 'up.example/mecm/web:1', updatedAt: '2026-11-21T08:00:00.000Z' },
}
const waiting: PlanWhy = {
  ...{
    plan: 'mecm/api:1',
    revision: 1,
    phase: 'Waiting',
    reason: 'Retry',
    message: 'no answer',
    hint: 'wait',
    since: 'x',
  },
  ...{ position: null, nextTryAt: '2026-11-21T08:00:00Z', failures: 2, readyBy: null, quote: null, space: null },
  ...{ link: ['neither a window nor a budget holds it back'], hosts: ['up.example'], images: [], lastError: null },
}

t.test('here, wanted or unwanted, with what is known of the sources', async t => {
  const { app, plans } = await startApi(t, {
    facts: agentFacts({
      images: async () => [held],
      upstreams: () => [
        {
          host: 'up.example',
          requests: 1,
          receivedBytes: 0,
          lastError: { at: '2026-11-21T07:00:00Z', code: 'DNS', message: 'no such host' },
          ...{ goodput: null, restingUntil: '2026-11-21T07:01:00.000Z', why: 'DNS: no such host' },
        },
        {
          host: 'other.example',
          requests: 1,
          receivedBytes: 0,
          lastError: null,
          goodput: null,
          restingUntil: null,
          why: null,
        },
      ],
    }),
  })
  plans.whys = [waiting]
  const ask = async (name: string) => (await app.inject(`/v1/why/${name}`)).json()

  for (const name of ['mecm/web:1', 'mecm/web', `mecm%2Fweb@${held.digest}`, held.digest]) {
    const here = await ask(name)
    t.match(here, { answer: 'here', images: [held], plans: [], sources: [] }, name)
    t.match(here.text, [/mecm\/web:1 is here since 2026-11-21T08:00:00.000Z, from up.example\/mecm\/web:1/])
  }
  const wanted = await ask('mecm/api:1')
  t.match(wanted, { answer: 'wanted', sources: [{ host: 'up.example' }], plans: [{ reason: 'Retry' }] })
  t.equal(wanted.sources.length, 1)
  t.match(
    wanted.text.join('\n'),
    /no answer[\s\S]*next try is at 2026-11-21T08:00:00Z[\s\S]*up.example: last error .* DNS[\s\S]*up.example is asked last until 2026-11-21T07:01:00.000Z: DNS/,
  )
  plans.whys = [{ ...waiting, phase: 'Withdrawn', reason: null, message: null, hint: null }]
  const withdrawn = await ask('mecm/api:1')
  t.match(withdrawn, { answer: 'unwanted', plans: [{ phase: 'Withdrawn' }], text: [/does not want it any more/] })
  t.equal(withdrawn.text.filter((text: string) => text.includes('no plan names it')).length, 0)
  const nothing = await ask('mecm/other:1')
  t.match(nothing, { name: 'mecm/other:1', answer: 'unwanted', plans: [], text: [/no plan names it/] })
})
