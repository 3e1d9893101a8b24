import t from 'tap'
import { chooseRange } from '../../../src/http/registry/range.ts'

const etag = '"sha256:1"'
const cases: [string, number, ReturnType<typeof chooseRange>][] = [
  ['bytes=0-0', 10, { start: 0, end: 1 }],
  ['bytes=2-5', 10, { start: 2, end: 6 }],
  ['bytes=2-', 10, { start: 2, end: 10 }],
  ['bytes=2-99', 10, { start: 2, end: 10 }],
  ['bytes=-3', 10, { start: 7, end: 10 }],
  ['bytes=-99', 10, { start: 0, end: 10 }],
  ['Bytes=9-', 10, { start: 9, end: 10 }],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=10-20', 10, 'unsatisfiable'],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=5-2', 10, 'unsatisfiable'],
  ['bytes=0-1,3-4', 10, 'whole'],
  ['bytes=-', 10, 'whole'],
  ['bytes=a-b', 10, 'whole'],
  ['items=0-1', 10, 'whole'],
  ['bytes=0-9999999999999999999999', 10, 'whole'],
  ['bytes=0-', 0, 'whole'],
]
for (const [range, size, expected] of cases) {
  t.same(chooseRange({ range }, size, etag), expected, `${range} of ${size}`)
}
t.equal(chooseRange({}, 10, etag), 'whole', 'no range')
t.same(chooseRange({ range: 'bytes=1-', ifRange: etag }, 10, etag), { start: 1, end: 10 }, 'If-Range with our tag')
t.equal(chooseRange({ range: 'bytes=1-', ifRange: '"other"' }, 10, etag), 'whole', 'If-Range with another tag')
t.equal(chooseRange({ range: 'bytes=1-', ifRange: `W/${etag}` }, 10, etag), 'whole', 'If-Range needs a strong tag')
t.equal(chooseRange({ range: 'bytes=1-', ifRange: 'Sat, 21 Nov 2026 10:00:00 GMT' }, 10, etag), 'whole', 'a date')
