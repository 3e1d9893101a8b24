import t from 'tap'
import { type BodyFraming, framingOf } from '../../../src/registry/wire/body-framing.ts'
import type { HeaderFields } from '../../../src/registry/wire/response-head.ts'

function framing(headers: HeaderFields, { method = 'GET', status = 200, isOld = false } = {}): BodyFraming {
  return framingOf(method, { status, isOld, headers })
}

function take(body: BodyFraming, text: string): string {
  return Buffer.concat([...body.payload(Buffer.from(text, 'latin1'))]).toString('latin1')
}

t.test('by its length', t => {
  const body = framing({ 'content-length': '5' })
  t.equal(body.left, 5)
  t.equal(take(body, 'he'), 'he')
  t.notOk(body.isComplete)
  t.throws(() => body.ended(), { code: 'WIRE_CLOSED' })
  t.equal(take(body, 'llo'), 'llo')
  t.ok(body.isComplete && body.leavesConnection)
  t.equal(take(body, '!'), '')
  t.notOk(body.leavesConnection, 'what belongs to no answer came')
  const overfull = framing({ 'content-length': ['5', '5'] })
  t.equal(take(overfull, 'hello!'), 'hello')
  t.ok(overfull.isComplete)
  t.notOk(overfull.leavesConnection)
  t.end()
})

t.test('where there is none', t => {
  for (const body of [
    framing({ 'content-length': '5' }, { method: 'HEAD' }),
    framing({ 'transfer-encoding': 'chunked' }, { method: 'HEAD' }),
    framing({ 'content-length': '5' }, { status: 304 }),
    framing({}, { status: 204 }),
    framing({ 'content-length': '0' }),
  ]) {
    t.ok(body.isComplete && body.leavesConnection)
  }
  t.end()
})

t.test('in chunks, however they are cut', t => {
  const text = '5;a="b"\r\nhello\r\n1 \r\n \r\n0A\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n'
  for (let first = 0; first <= text.length; first++) {
    for (let second = first; second <= text.length; second++) {
      const body = framing({ 'transfer-encoding': 'Chunked' })
      const came = [text.slice(0, first), text.slice(first, second), text.slice(second)].map(part => take(body, part))
      if (came.join('') !== 'hello 0123456789' || !body.isComplete || !body.leavesConnection) {
        t.fail(`cut after ${first} and ${second} bytes`)
      }
    }
  }
  const body = framing({ 'transfer-encoding': 'chunked' })
  t.equal(take(body, '1\r\na'), 'a')
  t.throws(() => body.ended(), { code: 'WIRE_CLOSED' })
  t.equal(take(body, '\r\n0\r\n\r\nHTTP/1.1'), '')
  t.ok(body.isComplete)
  t.notOk(body.leavesConnection)
  t.end()
})

t.test('chunks that are none', t => {
  const garbled = ['\r\n', 'x\r\n', '-1\r\n', '1\n', '1\r\nab\r\n', '1\r\na\n', '1;\x00\r\n', `${'f'.repeat(13)}\r\n`]
  for (const text of garbled) {
    t.throws(
      () => take(framing({ 'transfer-encoding': 'chunked' }), text),
      { code: 'WIRE_GARBLED' },
      JSON.stringify(text),
    )
  }
  const endless = framing({ 'transfer-encoding': 'chunked' })
  t.throws(() => take(endless, `1;${'x'.repeat(5000)}`), { code: 'WIRE_TOO_LONG' })
  const trailing = framing({ 'transfer-encoding': 'chunked' })
  take(trailing, '0\r\n')
  t.throws(
    () => {
      for (let line = 0; line < 100; line++) take(trailing, `x: ${'x'.repeat(1000)}\r\n`)
    },
    { code: 'WIRE_TOO_LONG' },
  )
  t.end()
})

t.test('with the connection', t => {
  const body = framing({})
  t.equal(take(body, 'hello'), 'hello')
  t.notOk(body.isComplete)
  body.ended()
  t.ok(body.isComplete)
  t.notOk(body.leavesConnection)
  t.end()
})

t.test('what contradicts itself', t => {
  const garbled = { code: 'WIRE_GARBLED' }
  t.throws(() => framing({ 'content-length': '5', 'transfer-encoding': 'chunked' }), garbled)
  t.throws(() => framing({ 'content-length': '5, 6' }), garbled)
  t.throws(() => framing({ 'content-length': ['5', '6'] }), garbled)
  for (const length of ['', '-1', '+5', '5.0', '0x5', '5 5', '9'.repeat(16)]) {
    t.throws(() => framing({ 'content-length': length }), garbled, length)
  }
  t.throws(() => framing({ 'transfer-encoding': 'gzip, chunked' }), garbled)
  t.throws(() => framing({ 'transfer-encoding': ['chunked', 'chunked'] }), garbled)
  t.throws(() => framing({ 'transfer-encoding': 'identity' }), garbled)
  t.throws(() => framing({ 'transfer-encoding': 'chunked' }, { isOld: true }), garbled)
  t.end()
})
