import t, { type Test } from 'tap'
import { ImageError } from '../../src/oci/errors.ts'
import { clearAfterMs } from '../../src/plans/outbox.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

function siteWith(t: Test, options = {}): PlanSite {
  const site = new PlanSite(t.testdir(), options)
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'w', size: 10 }] })
  t.teardown(() => site.stop())
  return site.start()
}

function told(site: PlanSite): string[] {
  return site.messages().map(({ topic, payload, retain }) => {
    const phase = payload === '' ? 'clear' : JSON.parse(payload).phase
    return `${topic} ${phase}${retain ? '' : ' (not retained)'}`
  })
}

t.test('every change of phase is kept, in order', async t => {
  const site = siteWith(t)
  site.send(planOf('a', ['up.example/web:1']))
  await site.reached('a', 'Ready')
  const phases = ['Accepted', 'Resolving', 'Fetching', 'Verifying', 'Ready'].map(phase => `plans/a/status ${phase}`)
  t.strictSame(told(site), phases)
  site.send(planOf('a', ['up.example/web:1'], { metadata: { revision: 2 } }))
  await site.reached('a', 'Ready')
  site.send(planOf('a', ['up.example/web:1'], { metadata: { revision: 1 } }))
  site.empty('a')
  t.strictSame(told(site), [...phases, ...phases, 'plans/a/status Rejected (not retained)', 'plans/a/status Withdrawn'])
  const seqs = site.messages().map(message => JSON.parse(message.payload).seq)
  t.strictSame(
    seqs,
    seqs.map((_, at) => at + 1),
  )
})

t.test('of a plan that is tried again and again while the broker is away, the newest statuses wait', async t => {
  const site = siteWith(t)
  site.send(planOf('a', ['up.example/web:1']))
  await site.reached('a', 'Ready')
  const resolveErrors = Array.from({ length: 6 }, () => new ImageError('UNAVAILABLE', 'away'))
  site.engine.offer('up.example/away:1', { content: 'away', blobs: [], resolveErrors })
  site.send(planOf('b', ['up.example/away:1']))
  await site.reached('b', 'Ready')
  const ofB = told(site).filter(line => line.startsWith('plans/b/'))
  t.strictSame(ofB.slice(-4), [
    'plans/b/status Resolving',
    'plans/b/status Fetching',
    'plans/b/status Verifying',
    'plans/b/status Ready',
  ])
  t.equal(ofB.length, 9)
  t.equal(told(site).length, 5 + 9, 'those of another plan are left alone')
})

t.test('a refusal does not swallow the news of the plan that stands', async t => {
  const site = siteWith(t)
  site.engine.offer('up.example/slow:1', { content: 's', blobs: [{ name: 's', size: 2 }], gate: new Promise(() => {}) })
  site.send(planOf('a', ['up.example/slow:1'], { metadata: { revision: 2 } }))
  await site.reached('a', 'Fetching')
  site.send(planOf('a', ['A']))
  t.strictSame(told(site).slice(-2), ['plans/a/status Fetching', 'plans/a/status Rejected (not retained)'])
})

t.test('what is acknowledged is gone, anything else stays, over a restart, too', async t => {
  const dir = t.testdir()
  const first = new PlanSite(dir).start()
  first.engine.offer('up.example/web:1', { content: 'web', blobs: [] })
  for (const name of ['a', 'b', 'c']) {
    first.send(planOf(name, ['up.example/web:1']))
    await first.reached(name, 'Ready')
  }
  t.equal(first.outbox.size, 15)
  t.equal(first.outbox.next(2).length, 2)
  const ofB = first.messages().filter(message => message.topic === 'plans/b/status')
  for (const { seq } of [...ofB, ...ofB]) first.outbox.acknowledged(seq)
  first.outbox.acknowledged(12345)
  await first.stop()
  const later = new PlanSite(dir).start()
  t.teardown(() => later.stop())
  t.equal(later.outbox.size, 10)
  t.strictSame(
    told(later).filter(line => line.endsWith('Ready')),
    ['plans/a/status Ready', 'plans/c/status Ready'],
  )
})

t.test('the retained status of a withdrawn plan is cleared a day after its withdrawal was reported', async t => {
  const site = siteWith(t)
  site.send(planOf('a', ['up.example/web:1']))
  await site.reached('a', 'Ready')
  site.empty('a')
  site.clock += 10 * clearAfterMs
  site.plans.sweep()
  t.equal(told(site).includes('plans/a/status clear'), false, 'not before the broker knows of it')
  site.acknowledgeAll()
  site.clock += clearAfterMs - 1
  site.plans.sweep()
  t.strictSame(told(site), [])
  t.equal(site.plans.find('a')?.phase, 'Withdrawn')
  site.clock += 1
  site.plans.sweep()
  t.strictSame(told(site), ['plans/a/status clear'])
  t.match(site.messages(), [{ payload: '', retain: true }])
  t.equal(site.plans.find('a'), undefined)
  site.acknowledgeAll()
  site.plans.sweep()
  t.strictSame(told(site), [])
  t.match(site.empty('a'), { outcome: 'unchanged' })
  t.equal(site.plans.find('a'), undefined, 'another empty payload is no news')
  t.match(site.send(planOf('a', ['up.example/web:1'])), { outcome: 'accepted' })
})

t.test('a plan that comes back within the day keeps its status', async t => {
  const site = siteWith(t)
  site.send(planOf('a', ['up.example/web:1']))
  site.empty('a')
  site.acknowledgeAll()
  site.send(planOf('a', ['up.example/web:1'], { metadata: { revision: 2 } }))
  await site.reached('a', 'Ready')
  site.acknowledgeAll()
  site.clock += 2 * clearAfterMs
  site.plans.sweep()
  t.strictSame(told(site), [])
  t.equal(site.plans.find('a')?.phase, 'Ready')
})

t.test('without a broker nothing is queued, and withdrawn plans go after a day', async t => {
  const site = siteWith(t, { report: false })
  site.post(planOf('a', ['up.example/web:1']))
  await site.reached('a', 'Ready')
  site.plans.withdraw('a')
  t.equal(site.outbox.size, 0)
  site.clock += clearAfterMs
  site.plans.sweep()
  t.equal(site.plans.find('a'), undefined)
  t.equal(site.outbox.size, 0)
})

t.test('a broker that is configured later is told how every plan is', async t => {
  const dir = t.testdir()
  const first = new PlanSite(dir, { report: false }).start()
  first.engine.offer('up.example/web:1', { content: 'web', blobs: [] })
  for (const name of ['a', 'b']) {
    first.post(planOf(name, ['up.example/web:1']))
    await first.reached(name, 'Ready')
  }
  await first.stop()
  for (const round of [1, 2]) {
    const later = new PlanSite(dir).start()
    t.strictSame(told(later), ['plans/a/status Ready', 'plans/b/status Ready'], `start ${round}`)
    await later.stop()
  }
})

t.test('what is told once more goes beside what waits, and changes nothing', async t => {
  const site = siteWith(t)
  for (const name of ['a', 'b', 'c']) {
    site.send(planOf(name, ['up.example/web:1']))
    await site.reached(name, 'Ready')
  }
  site.empty('b')
  site.acknowledgeAll()
  site.empty('c')
  const seqs = ['a', 'b', 'c'].map(name => site.plans.find(name)?.seq)
  site.clock += clearAfterMs - 1
  site.outbox.repeatAll()
  site.outbox.repeatAll()
  t.strictSame(told(site).sort(), ['plans/a/status Ready', 'plans/b/status Withdrawn', 'plans/c/status Withdrawn'])
  t.strictSame(
    ['a', 'b', 'c'].map(name => site.plans.find(name)?.seq),
    seqs,
  )
  site.acknowledgeAll()
  site.clock += 1
  site.plans.sweep()
  t.strictSame(told(site), ['plans/b/status clear'], 'its day began when it was told first')
})

t.test('the sequence goes on after one that was seen elsewhere', async t => {
  const site = siteWith(t)
  site.outbox.continueFrom(216)
  site.outbox.continueFrom(3)
  site.send(planOf('a', ['A']))
  t.equal(site.plans.find('a')?.seq, 217)
})

t.test('refusals and withdrawals are bounded', async t => {
  const site = siteWith(t)
  // as rows of many years would look, without taking as long to write
  const insert = site.state.db.prepare(
    `INSERT INTO plan_statuses (name, run, scope, phase, seq, document) VALUES (?, ?, 'edge', 'Rejected', ?, ?)`,
  )
  site.send(planOf('template', []))
  const document = JSON.stringify(site.plans.find('template'))
  const withdrawn = site.state.db.prepare(`INSERT INTO plans VALUES (?, 'edge', 1, 0, NULL, 'http', ?)`)
  site.state.db.transaction(() => {
    for (let at = 1; at <= 1_004; at++) insert.run(`bad-${at}`, at - 10_000, at, document)
    for (let at = 1; at <= 10_005; at++) withdrawn.run(`old-${at}`, at)
  })()
  site.plans.sweep()
  t.equal(site.plans.list().length, 1_000)
  t.ok(site.plans.find('template'), 'the newest stay')
  t.equal(site.messages().filter(message => message.payload === '').length, 5)
  const { count } = site.state.db.prepare<[], { count: number }>('SELECT count(*) AS count FROM plans').get() ?? {
    count: 0,
  }
  t.ok(count >= 10_000 && count <= 10_001, `${count} withdrawn plans are remembered`)
})
