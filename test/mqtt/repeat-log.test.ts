import { pino } from 'pino'
import t from 'tap'
import { RepeatLog } from '../../src/mqtt/repeat-log.ts'

t.test('at once, then every ten minutes with the number of repeats', async t => {
  const lines: { msg: string; repeats?: number }[] = []
  let now = 0
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const log = new RepeatLog(logger, () => now)
  for (let minute = 0; minute < 21; minute += 1) {
    now = minute * 60_000
    log.warn('dns', {}, 'no name')
  }
  log.warn('tls', {}, 'no trust')
  log.forget('tls')
  log.warn('tls', {}, 'no trust')
  t.same(
    lines.map(({ msg, repeats }) => ({ msg, repeats })),
    [
      { msg: 'no name', repeats: undefined },
      { msg: 'no name', repeats: 9 },
      { msg: 'no name', repeats: 9 },
      { msg: 'no trust', repeats: undefined },
      { msg: 'no trust', repeats: undefined },
    ],
  )
})
