import t from 'tap'
import { parseDuration, parseRate, parseSize } from '../../src/oci/quantities.ts'

t.test('durations are milliseconds', async t => {
  t.equal(parseDuration('500ms'), 500)
  t.equal(parseDuration('30s'), 30_000)
  t.equal(parseDuration('1.5m'), 90_000)
  t.equal(parseDuration('24h'), 86_400_000)
  t.equal(parseDuration('7d'), 604_800_000)
})

t.test('sizes are bytes', async t => {
  t.equal(parseSize('512MiB'), 512 * 1024 * 1024)
  t.equal(parseSize('20GB'), 20e9)
  t.equal(parseSize('10 KiB'), 10_240)
})

t.test('rates are bytes per second', async t => {
  t.equal(parseRate('20Mbit'), 2_500_000)
  t.equal(parseRate('2.5MB'), 2_500_000)
  t.equal(parseRate('64kbit'), 8000)
})

t.test('anything else is undefined', async t => {
  for (const text of ['', '30', 's', '-1s', '30 minutes', '1e3s', '30S', '30constructor', '999999999999999d']) {
    t.equal(parseDuration(text), undefined, text)
  }
  t.equal(parseSize('20Mbit'), undefined)
  t.equal(parseRate('20s'), undefined)
})
