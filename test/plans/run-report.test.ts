import t from 'tap'
import { parsePlatform } from '../../src/oci/platform.ts'
import { interpret } from '../../src/plans/plan.ts'
import { isPlanDocument } from '../../src/plans/problems.ts'
import { RunReport } from '../../src/plans/run-report.ts'
import type { PlanStatus } from '../../src/plans/status.ts'
import { FakeEngine } from '../fixtures/fake-engine.ts'
import { planOf } from '../fixtures/plan-site.ts'

const layers = [
  { name: 'a', size: 1000 },
  { name: 'b', size: 200 },
]

/** A report of a plan with one image of two layers, and what its fetch tells. */
async function reportOf(last?: PlanStatus) {
  const document = planOf('p', ['up.example/x:1'])
  if (!isPlanDocument(document)) throw new Error('not a plan')
  const { plan } = interpret(document, [parsePlatform('linux/amd64')])
  const engine = new FakeEngine()
  engine.offer('up.example/x:1', { content: 'x', blobs: layers })
  const [request] = plan.images
  if (!request) throw new Error('no image')
  const image = await engine.resolve(request, new AbortController().signal)
  const report = new RunReport(plan, last)
  const pass = (missing = image.blobs) => {
    report.beginPass()
    report.found(0, image, missing)
    report.expect([image.root, ...image.blobs], missing, 0)
    return report.counterOf(0, missing)
  }
  const [a, b] = image.blobs
  if (!a || !b) throw new Error('no blobs')
  return { report, pass, a, b }
}

t.test('what an earlier try left on disk is done, but not fetched', async t => {
  const { report, pass, a } = await reportOf()
  const counter = pass()
  counter.resumed(400, a)
  counter.received('mirror.example', 100, a)
  t.strictSame(report.bytes, { done: 500, fetched: 100, resumed: 400 })
  t.match(report.images, [{ bytesDone: 500, source: 'mirror.example' }])
})

t.test('what is on disk counts once, however often its transfer is cut', async t => {
  const { report, pass, a, b } = await reportOf()
  const counter = pass()
  counter.resumed(100, a)
  for (let cuts = 1; cuts <= 3; cuts++) {
    counter.received('up.example', 200, a)
    counter.received('up.example', 10, b)
    counter.resumed(100 + cuts * 200, a)
    counter.resumed(cuts * 10, b)
  }
  t.strictSame(report.bytes, { done: 730, fetched: 630, resumed: 100 })
  t.match(report.images, [{ bytesDone: 730 }])
  counter.resumed(0, a)
  t.strictSame(report.bytes, { done: 30, fetched: 630, resumed: 100 }, 'what was thrown away is not here')
})

t.test('what the run itself has fetched is not resumed by its next pass', async t => {
  const { report, pass, a, b } = await reportOf()
  const first = pass()
  first.received('up.example', 1000, a)
  first.completed(a)
  first.received('up.example', 50, b)
  t.ok(report.gained)
  const second = pass([b])
  t.notOk(report.gained, 'a new pass has gained nothing yet')
  t.strictSame(report.bytes, { done: 1000, fetched: 1050, resumed: 0 })
  second.resumed(50, b)
  second.received('up.example', 150, b)
  second.completed(b)
  t.strictSame(report.bytes, { done: 1200, fetched: 1200, resumed: 0 })
  t.match(report.quote, { bytesTotal: 1300, bytesMissing: 1200 }, 'the quote is that of the first pass')
})

t.test('what another plan brings is done, and bytes that come twice count once', async t => {
  const { report, pass, a, b } = await reportOf()
  const counter = pass()
  for (const blob of [a, b, a, b]) counter.completed(blob)
  t.strictSame(report.bytes, { done: 1200, fetched: 0, resumed: 0 })
  counter.received('up.example', 5000, a)
  t.strictSame(report.bytes, { done: 1200, fetched: 5000, resumed: 0 })
  t.match(report.images, [{ bytesDone: 1200 }])
})

t.test('after a restart the figures go on from the last status', async t => {
  const { report, pass, a } = await reportOf()
  pass().received('up.example', 300, a)
  const status = { ...report.draft('Fetching'), edge: 'e', seq: 1, at: '', status: null, mecHostInfo: [] }
  const later = await reportOf(status)
  t.strictSame(later.report.bytes, { done: 300, fetched: 300, resumed: 0 })
  later.pass().resumed(300, a)
  t.strictSame(later.report.bytes, { done: 300, fetched: 300, resumed: 300 })
  t.match(later.report.quote, { bytesMissing: 1200 })
})

t.test('there is no rate and no time left while nothing moves', async t => {
  const { report, pass, a } = await reportOf()
  t.strictSame(report.pace(), { rate: 0, secondsLeft: null })
  const counter = pass()
  counter.received('up.example', 100, a)
  await new Promise(resolve => setTimeout(resolve, 5))
  counter.received('up.example', 500, a)
  const { rate, secondsLeft } = report.pace()
  t.ok(rate > 0)
  t.ok(secondsLeft !== null && secondsLeft > 0)
})
