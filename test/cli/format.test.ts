import t from 'tap'
import { formatBytes, formatRate, formatRelative, formatSeconds } from '../../src/cli/format.ts'

t.test('bytes', async t => {
  const texts = [0, 812, 1023, 1024, 40_123_456, 1024 ** 3, 1024 ** 5].map(formatBytes)
  t.strictSame(texts, ['0 B', '812 B', '1023 B', '1.0 KiB', '38.3 MiB', '1.0 GiB', '1024.0 TiB'])
  t.equal(formatBytes(1024 * 1024 - 1), '1.0 MiB', 'never 1024.0 KiB')
  t.equal(formatRate(2_500_000), '2.4 MiB/s')
})

t.test('seconds', async t => {
  const texts = [0, 0.4, 4, 60, 200, 3600, 18_125, 273_600].map(formatSeconds)
  t.strictSame(texts, ['0 s', '0 s', '4 s', '1 min', '3 min 20 s', '1 h', '5 h 2 min', '3 d 4 h'])
})

t.test('times from now', async t => {
  const now = Date.parse('2026-11-21T08:00:00Z')
  t.equal(formatRelative('2026-11-21T08:00:00Z', now), 'now')
  t.equal(formatRelative('2026-11-21T07:56:30Z', now), '3 min ago')
  t.equal(formatRelative('2026-11-21T10:00:00Z', now), 'in 2 h')
  t.equal(formatRelative('soon', now), 'soon')
})
