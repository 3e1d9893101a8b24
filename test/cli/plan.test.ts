/** The commands that talk to a running agent, against its real API. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import type { PlanStatus } from '../../src/plans/status.ts'
import { planQuote, planStatus } from '../fixtures/agent-facts.ts'
import { runCommand, serveApi, startCommand } from '../fixtures/command-line.ts'

const mib = 1024 * 1024

function statusOf(phase: PlanStatus['phase'], seq: number, bytesDone = 0): PlanStatus {
  const image: PlanStatus['images'][number] = {
    target: 'mecm/web:2.1.0',
    digest: `sha256:${'a'.repeat(64)}`,
    phase: phase === 'Ready' ? 'Ready' : 'Fetching',
    bytesTotal: 20 * mib,
    bytesPresent: 5 * mib,
    bytesDone,
    attempts: 1,
    source: 'registry.example',
    error: null,
  }
  return {
    ...planStatus('shop', phase, seq),
    quote: {
      bytesTotal: 20 * mib,
      bytesMissing: 15 * mib,
      bytesPeakDisk: 15 * mib,
      verdict: 'Accepted',
      readyAt: null,
    },
    bytes: { done: bytesDone, fetched: bytesDone, resumed: 0 },
    images: [image],
  }
}

t.test('submit hands the plan over as it is', async t => {
  const { plans, url } = await serveApi(t)
  plans.statuses.set('shop', planStatus('shop'))
  const file = join(t.testdir({ 'plan.yaml': 'kind: DistributionPlan\n' }), 'plan.yaml')
  t.match(await runCommand(['plan', 'submit', file, '--api', url]), {
    status: 0,
    stdout: 'shop revision 1: Accepted\n',
    stderr: '',
  })
  const piped = await runCommand(['plan', 'submit', '-', '--json'], {
    input: '{"kind":"DistributionPlan"}',
    env: { EDGE_IMAGE_AGENT_API: url },
  })
  t.match(JSON.parse(piped.stdout), { plan: 'shop', phase: 'Accepted' })
  t.same(
    plans.arrivals.map(one => Buffer.from(one.payload).toString()),
    ['kind: DistributionPlan\n', '{"kind":"DistributionPlan"}'],
  )
  plans.next = { outcome: 'unchanged', name: 'shop' }
  t.match(await runCommand(['plan', 'submit', file, '--api', url]), { status: 0, stdout: /known already/ })
})

t.test('a plan that is refused: every problem, status 1', async t => {
  const { plans, url } = await serveApi(t)
  plans.next = { outcome: 'rejected', name: 'shop', problems: ['spec.images[0]: wrong', 'spec.colour: not known'] }
  const file = join(t.testdir({ plan: '{}' }), 'plan')
  t.match(await runCommand(['plan', 'submit', file, '--wait', '--api', url]), {
    status: 1,
    stdout: '',
    stderr: '  spec.images[0]: wrong\n  spec.colour: not known\nerror: the plan is refused: 2 problems\n',
  })
  plans.next = { outcome: 'stale', name: 'shop' }
  t.match(await runCommand(['plan', 'submit', file, '--api', url]), { status: 1, stderr: /higher revision/ })
  t.match(await runCommand(['plan', 'submit', '/nowhere/plan.yaml', '--api', url]), {
    status: 1,
    stderr: /^error: the plan can not be read: ENOENT/,
  })
})

t.test('submit --wait follows the plan to its end', async t => {
  for (const [end, status] of [
    ['Ready', 0],
    ['Failed', 1],
  ] as const) {
    const { plans, url } = await serveApi(t)
    plans.statuses.set('shop', planStatus('shop', 'Accepted', 1))
    const { end: ended } = startCommand(['plan', 'submit', '-', '--wait', '--api', url], { input: '{}' })
    while (plans.arrivals.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
    plans.events.emit('status', planStatus('other', 'Failed', 2))
    plans.events.emit('status', statusOf('Fetching', 3))
    plans.events.emit('status', statusOf(end, 4, 15 * mib))
    const result = await ended
    t.equal(result.status, status, result.stderr)
    t.match(result.stdout, /mecm\/web:2\.1\.0: Fetching, 20\.0 MiB, 5\.0 MiB of it here already/)
    t.match(result.stdout, `shop: ${end}, 15.0 MiB of 15.0 MiB`)
    t.match(result.stdout, /20\.0 MiB in all, 15\.0 MiB missing at the start, 15\.0 MiB fetched/)
    t.notMatch(result.stdout, '\u001b', 'no control sequences outside a terminal')
  }
})

t.test('Ctrl-C ends the waiting in order, and says that the plan goes on', async t => {
  const { plans, url } = await serveApi(t)
  plans.statuses.set('shop', planStatus('shop', 'Fetching', 1))
  const { child, end } = startCommand(['plan', 'submit', '-', '--wait', '--api', url], { input: '{}' })
  if (child.stdout) await once(child.stdout, 'data')
  child.kill('SIGINT')
  t.match(await end, {
    status: 1,
    signal: null,
    stderr: /^error: interrupted; the agent goes on with the plan\nhint: /,
  })
})

t.test('an agent that restarts meanwhile is waited for', async t => {
  const first = await serveApi(t)
  first.plans.statuses.set('shop', planStatus('shop', 'Fetching', 1))
  const { child, end } = startCommand(['plan', 'submit', '-', '--wait', '--json', '--api', first.url], { input: '{}' })
  while (first.plans.arrivals.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
  first.plans.statuses.set('shop', planStatus('shop', 'Ready', 9))
  const address = first.server.address
  await first.server.stop()
  const again = createServer((request, response) => {
    response.setHeader('content-type', request.url === '/v1/events' ? 'text/event-stream' : 'application/json')
    if (request.url === '/v1/events') response.write(': hello\n\n')
    else response.end(JSON.stringify(planStatus('shop', 'Ready', 9)))
  })
  again.listen(Number(address.split(':')[1]), '127.0.0.1')
  t.teardown(() => {
    again.closeAllConnections()
    again.close()
  })
  const { status, stdout } = await end
  t.equal(child.exitCode, 0)
  t.match({ status, ...JSON.parse(stdout) }, { status: 'Distributed', phase: 'Ready' })
})

t.test('list and show', async t => {
  const { plans, url } = await serveApi(t)
  t.match(await runCommand(['plan', 'list', '--api', url]), { status: 0, stdout: 'no plans\n' })
  plans.statuses.set('shop', { ...statusOf('Fetching', 3, mib), at: new Date(Date.now() - 125_000).toISOString() })
  plans.statuses.set('a', {
    ...planStatus('a', 'Failed'),
    reason: 'NAME_UNKNOWN',
    message: 'no such\u001b[31m',
    hint: 'Check.',
  })
  const list = await runCommand(['plan', 'list', '--api', url])
  t.match(list.stdout.split('\n'), [
    /^PLAN +REVISION +PHASE +IMAGES +SIZE +FETCHED +CHANGED$/,
    /^shop +1 +Fetching +1 +20\.0 MiB +1\.0 MiB +2 min ago$/,
    /^a +1 +Failed \(NAME_UNKNOWN\) +0 /,
  ])
  t.match(
    (await runCommand(['plan', 'show', 'shop', '--api', url])).stdout,
    /mecm\/web:2\.1\.0 +Fetching +20\.0 MiB +6\.0 MiB/,
  )
  const failed = await runCommand(['plan', 'show', 'a', '--api', url])
  t.match(failed.stdout, /^a revision 1: Failed \(NAME_UNKNOWN\), .*\n {2}no such \[31m\n {2}hint: Check\.\n$/)
  t.match(JSON.parse((await runCommand(['plan', 'list', '--json', '--api', url])).stdout), [
    { plan: 'shop' },
    { plan: 'a' },
  ])
  t.match(await runCommand(['plan', 'show', 'b/../c', '--api', url]), {
    status: 1,
    stderr: 'error: there is no plan "b/../c" on this edge\n',
  })
})

t.test('withdraw and retry', async t => {
  const { plans, url } = await serveApi(t)
  plans.statuses.set('shop', planStatus('shop', 'Failed'))
  t.match(await runCommand(['plan', 'retry', 'shop', '--api', url]), { status: 0, stdout: 'shop revision 1: Failed\n' })
  t.match(await runCommand(['plan', 'withdraw', 'shop', '--api', url]), {
    status: 0,
    stdout: 'shop revision 1: Withdrawn\n',
  })
  t.match(await runCommand(['plan', 'withdraw', 'none', '--api', url]), {
    status: 1,
    stderr: /there is no plan "none"/,
  })
})

t.test('status and images', async t => {
  const { url } = await serveApi(t, {
    broker: () => ({ url: 'mqtts://b:8883', connected: false, since: new Date().toISOString(), lastError: 'refused' }),
    outboxMessages: () => 3,
    storage: async () => ({ usedBytes: 5 * mib, freeBytes: 2048 * mib }),
    upstreams: () => [
      {
        host: 'r.example',
        requests: 7,
        receivedBytes: mib,
        lastError: null,
        goodput: mib,
        restingUntil: new Date(Date.now() + 3_600_000).toISOString(),
        why: 'TIMEOUT: no answer',
      },
    ],
    images: async () => [
      {
        repository: 'mecm/web',
        tag: '2.1.0',
        digest: 'sha256:ab',
        mediaType: 'x',
        size: 3 * mib,
        source: 'r.example/mecm/web:2.1.0',
        updatedAt: new Date(Date.now() - 3_600_000).toISOString(),
      },
    ],
  })
  const { stdout } = await runCommand(['status', '--api', url])
  t.match(stdout, /^edge +edge-01, version 0\.1\.0, up /)
  t.match(stdout, /broker +mqtts:\/\/b:8883, away since (now|\d+ s ago): refused, 3 messages wait for it/)
  t.match(stdout, /storage +5\.0 MiB used, 2\.0 GiB free/)
  t.match(
    stdout,
    /upstreams +r\.example, 7 requests, 1\.0 MiB received at 1\.0 MiB\/s; rests, asked again .*in .* \(TIMEOUT: no answer\)/,
  )
  const images = await runCommand(['images', '--api', url])
  t.match(images.stdout, /\nmecm\/web +2\.1\.0 +3\.0 MiB +1 h ago +r\.example\/mecm\/web:2\.1\.0 +sha256:ab\n/)
  t.match(JSON.parse((await runCommand(['images', '--json', '--api', url])).stdout), [{ repository: 'mecm/web' }])
})

t.test('status tells what a connected broker refuses', async t => {
  const since = new Date().toISOString()
  const broker = { url: 'mqtts://b:8883', connected: true, since, lastError: 'it takes no subscription to plans' }
  const { url } = await serveApi(t, { broker: () => broker })
  const { stdout } = await runCommand(['status', '--api', url])
  t.match(stdout, /broker +mqtts:\/\/b:8883, connected since .*: it takes no subscription to plans\n/)
})

t.test('no agent, or something else, at the address', async t => {
  t.match(await runCommand(['plan', 'list', '--api', 'http://127.0.0.1:1']), {
    status: 1,
    stderr: /^error: no agent answers at http:\/\/127\.0\.0\.1:1 \(connection refused\)\nhint: start it/,
  })
  const web = createServer((_request, response) => response.end('<html>')).listen(0, '127.0.0.1')
  t.teardown(() => web.close())
  await once(web, 'listening')
  const address = web.address()
  const port = typeof address === 'object' ? address?.port : 0
  t.match(await runCommand(['status', '--api', `http://127.0.0.1:${port}`]), {
    status: 1,
    stderr: /is no edge-image-agent of this version/,
  })
})

t.test('a reader that goes away does not break the command', async t => {
  const { plans, url } = await serveApi(t)
  for (let at = 0; at < 3000; at++) plans.statuses.set(`p${at}`, statusOf('Fetching', 1))
  const { child, end } = startCommand(['plan', 'list', '--json', '--api', url])
  child.stdout?.once('data', () => child.stdout?.destroy())
  t.match(await end, { status: 0, signal: null, stderr: '' })
})

t.test('quote tells what a plan would take, and fails where it can not be', async t => {
  const { plans, url } = await serveApi(t)
  plans.nextQuote = planQuote()
  const args = ['plan', 'quote', '-', '--api', url]
  const good = await runCommand(args, { input: 'kind: DistributionPlan' })
  t.match(good, { status: 0, stdout: /shop revision 1: Accepted\n.*100 B in all, 60 B missing, 50 B more on the disk/ })
  plans.nextQuote = planQuote('Infeasible')
  t.match(await runCommand(args, { input: 'x' }), { status: 1, stdout: /needs 60 bytes/, stderr: /not feasible/ })
  plans.nextQuote = { kind: 'refused', problems: ['spec: missing'] }
  t.match(await runCommand(args, { input: 'x' }), { status: 1, stderr: /spec: missing[\s\S]*refused: 1 problem/ })
  t.equal(plans.arrivals.length, 0)
})

t.test('why asks about any name, slashes and all', async t => {
  const { url } = await serveApi(t)
  const told = await runCommand(['why', 'up.example/mecm/web:1', '--api', url])
  t.match(told, {
    status: 0,
    stdout: 'nothing here wants up.example/mecm/web:1: no plan names it, and the registry does not have it\n',
  })
  const json = await runCommand(['why', 'shop', '--api', url, '--json'])
  t.match(JSON.parse(json.stdout), { name: 'shop', answer: 'unwanted' })
})
