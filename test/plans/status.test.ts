import t from 'tap'
import { Value } from 'typebox/value'
import { ImageError } from '../../src/oci/errors.ts'
import {
  describeError,
  finishStatus,
  formatTime,
  isTerminal,
  type Phase,
  PlanStatusSchema,
} from '../../src/plans/status.ts'

const place = { edge: 'edge-1', seq: 1, at: Date.parse('2026-11-21T08:03:11.250Z') }

function draft(phase: Phase, message: string | null = null) {
  const bytes = { done: 0, fetched: 0, resumed: 0 }
  const info = { appId: 'a', hostIp: ['10.0.0.7', '10.0.0.8'] }
  return {
    plan: 'p',
    revision: 1,
    phase,
    reason: null,
    message,
    hint: null,
    quote: null,
    bytes,
    images: [],
    package: info,
  }
}

t.test("every phase has the word that EdgeGallery's MECM understands, or none", async t => {
  const words: [Phase, string | null][] = [
    ['Accepted', 'Processing'],
    ['Waiting', 'Processing'],
    ['Resolving', 'Processing'],
    ['Fetching', 'Processing'],
    ['Verifying', 'Processing'],
    ['Ready', 'Distributed'],
    ['Rejected', 'Error'],
    ['Failed', 'Error'],
    ['Expired', 'Error'],
    ['Withdrawn', null],
    ['Superseded', null],
  ]
  for (const [phase, word] of words) {
    const status = finishStatus(draft(phase), place)
    t.ok(Value.Check(PlanStatusSchema, status), `${phase} fits its schema`)
    t.equal(status.status, word)
    t.strictSame(
      status.mecHostInfo.map(host => host.status),
      word === null ? [] : [word, word],
    )
    t.equal(isTerminal(phase), word !== 'Processing')
  }
})

t.test('an error for a host is at most 1,024 characters', async t => {
  const { message, mecHostInfo } = finishStatus(draft('Failed', 'x'.repeat(5000)), place)
  t.equal(message?.length, 5000)
  t.strictSame(
    mecHostInfo.map(host => host.error.length),
    [1024, 1024],
  )
  t.equal(finishStatus(draft('Ready', 'a note'), place).mecHostInfo[0]?.error, '')
})

t.test('times are whole seconds in UTC', async t => {
  t.equal(formatTime(place.at), '2026-11-21T08:03:11Z')
})

t.test('an error is a line that begins with its code', async t => {
  t.equal(describeError(new ImageError('DNS', 'no such host')), 'DNS: no such host')
  t.equal(describeError(new ImageError('DNS', 'no such host', { doing: 'resolve x' })), 'DNS: no such host (resolve x)')
})
