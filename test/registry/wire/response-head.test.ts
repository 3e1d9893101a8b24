import t from 'tap'
import { HeadReader, listOf, maxHeadBytes, writeHead } from '../../../src/registry/wire/response-head.ts'

function readAtOnce(text: string) {
  return new HeadReader().take(Buffer.from(text, 'latin1'))
}

t.test('a head, however it is cut', t => {
  const text =
    'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX-A:  1 \t\r\nX-Empty:\r\nx-a: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\nSET-COOKIE: c\r\n\r\n'
  const headers = { 'content-length': '5', 'x-a': ['1', '2'], 'x-empty': '', 'set-cookie': ['a', 'b', 'c'] }
  const whole = readAtOnce(`${text}hello`)
  t.match(whole, { used: text.length, head: { status: 206, isOld: false, headers } })
  for (let at = 1; at < text.length; at++) {
    const reader = new HeadReader()
    t.equal(reader.take(Buffer.from(text.slice(0, at))), undefined)
    const taken = reader.take(Buffer.from(`${text.slice(at)}hello`))
    if (taken?.used !== text.length - at || taken.head.status !== 206) t.fail(`cut after ${at} bytes`)
  }
  t.end()
})

t.test('what else a status line may be', t => {
  t.match(readAtOnce('HTTP/1.0 200\r\n\r\n'), { head: { status: 200, isOld: true }, used: 16 })
  t.match(readAtOnce('HTTP/1.1 200 \r\n\r\n'), { head: { status: 200, isOld: false } })
  t.match(readAtOnce('HTTP/1.1 404 Nicht gefunden\xe4\r\n\r\n'), { head: { status: 404 } })
  t.end()
})

t.test('what is no head', t => {
  const wrong = [
    '220 mail.example ESMTP\r\n',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 099 OK\r\n\r\n',
    'HTTP/1.1  200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
    'HTTP/1.1 200 OK\r\nspace : 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\n: 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\na: 1\r\n folded: 2\r\n\r\n',
    'HTTP/1.1 200 OK\r\na: 1\nb: 2\r\n\r\n',
    'HTTP/1.1 200 OK\r\na: \x00\r\n\r\n',
    '\r\nHTTP/1.1 200 OK\r\n\r\n',
  ]
  for (const text of wrong) t.throws(() => readAtOnce(text), { code: 'WIRE_GARBLED' }, JSON.stringify(text))
  t.end()
})

t.test('a head without end is given up', t => {
  const reader = new HeadReader()
  const line = Buffer.from(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1000)}\r\n`)
  reader.take(line)
  const more = Buffer.from(`x: ${'x'.repeat(1000)}\r\n`)
  t.throws(
    () => {
      for (let bytes = 0; bytes <= maxHeadBytes; bytes += more.byteLength) reader.take(more)
    },
    { code: 'WIRE_TOO_LONG' },
  )
  t.throws(() => readAtOnce(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(1e6)}`), { code: 'WIRE_TOO_LONG' })
  t.end()
})

t.test('names that mean something to JavaScript are names', t => {
  const taken = readAtOnce('HTTP/1.1 200 OK\r\n__proto__: a\r\nconstructor: b\r\n\r\n')
  t.same(Object.entries(taken?.head.headers ?? {}), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ])
  t.equal(taken?.head.headers.toString, undefined)
  t.end()
})

t.test('lists', t => {
  t.same(listOf({ connection: ['Keep-Alive, Close', ' x '] }, 'connection'), ['keep-alive', 'close', 'x'])
  t.same(listOf({ connection: ',' }, 'connection'), [])
  t.same(listOf({}, 'connection'), [])
  t.end()
})

t.test('a request that can be said, and those that can not', t => {
  t.equal(writeHead('GET', '/v2/?a=b', { host: 'h', 'x-a': 'é' }), 'GET /v2/?a=b HTTP/1.1\r\nhost: h\r\nx-a: é\r\n\r\n')
  const unsendable = { code: 'WIRE_UNSENDABLE' }
  t.throws(() => writeHead('GET', '/', { authorization: 'Bearer a\r\nx: y' }), unsendable)
  t.throws(() => writeHead('GET', '/', { 'a b': 'c' }), unsendable)
  t.throws(() => writeHead('GET', '/', { a: '€' }), unsendable)
  t.throws(() => writeHead('GET', '/a b', {}), unsendable)
  t.throws(() => writeHead('GET', '/\r\nx: y', {}), unsendable)
  t.end()
})
