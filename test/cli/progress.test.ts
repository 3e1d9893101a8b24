/** Bars on a terminal, lines elsewhere; a terminal that is a list of what was written, and a clock of the test's own. */
import { stripVTControlCharacters } from 'node:util'
import t from 'tap'
import { createProgressView } from '../../src/cli/progress.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import type { ImageStatus, PlanProgress, PlanStatus } from '../../src/plans/status.ts'
import { planStatus } from '../fixtures/agent-facts.ts'

const mib = 1024 * 1024

function setUp(tty: boolean, options: { columns?: number; rows?: number; env?: NodeJS.ProcessEnv } = {}) {
  const written: string[] = []
  const stream = {
    write: (text: string) => written.push(text) > 0,
    on: () => undefined,
    isTTY: tty,
    columns: options.columns ?? 100,
    rows: options.rows ?? 24,
  }
  const clock = { now: 0 }
  const terminal = new Terminal(stream, stream, options.env ?? {})
  return { written, clock, view: createProgressView(terminal, { now: () => clock.now }) }
}

function image(target: string, phase: ImageStatus['phase'], bytesDone = 0): ImageStatus {
  const sizes = { bytesTotal: 20 * mib, bytesPresent: 5 * mib, bytesDone }
  return { target, digest: null, phase, ...sizes, attempts: 1, source: 'r.example', error: null }
}

function status(phase: PlanStatus['phase'], images: ImageStatus[], done = 0): PlanStatus {
  const sizes = { bytesTotal: 20 * mib, bytesMissing: 15 * mib, bytesPeakDisk: 15 * mib }
  return {
    ...planStatus('shop', phase),
    quote: { ...sizes, verdict: 'Accepted', readyAt: null },
    bytes: { done, fetched: done, resumed: 0 },
    images,
  }
}

function progress(done: number, images: ImageStatus[]): PlanProgress {
  const { plan, revision, edge, at } = planStatus('shop')
  const bytes = { done, fetched: done, resumed: 0 }
  const figures = { bytesMissing: 15 * mib, bytes, rate: 2 * mib, secondsLeft: 5 }
  return { plan, revision, edge, at, phase: 'Fetching', images, ...figures }
}

t.test('a bar per image, redrawn in place in one write', async t => {
  const { written, clock, view } = setUp(true, { env: { NO_COLOR: '1' } })
  view.status(status('Fetching', [image('mecm/web:1', 'Fetching'), image('mecm/db:1', 'Waiting')]))
  t.equal(written.length, 1)
  const [name, bar] = written[0]?.split('\n')[0]?.split(/ {2,}/) ?? []
  t.equal(name, 'mecm/web:1')
  t.match(bar, /^█+░+$/)
  t.match(written[0], / 25 % {2}5\.0 MiB of 20\.0 MiB/)
  clock.now = 1000
  view.progress(progress(5 * mib, [image('mecm/web:1', 'Fetching', 5 * mib)]))
  t.equal(written.length, 2)
  t.ok(written[1]?.startsWith('\u001b[3A'), 'starts where the first of the three lines is')
  t.match(written[1], / 50 % {2}10\.0 MiB of 20\.0 MiB/)
  t.match(written[1], 'shop: Fetching, 5.0 MiB of 15.0 MiB, 2.0 MiB/s, 5 s left\u001b[K\n')
})

t.test('not more than ten times a second, and the last state is drawn', async t => {
  const { written, clock, view } = setUp(true)
  for (let at = 0; at < 100; at++) {
    clock.now = at + 1000
    view.progress(progress(at * 1000, [image('mecm/web:1', 'Fetching', at * 1000)]))
  }
  t.equal(written.length, 1)
  view.status(status('Ready', [image('mecm/web:1', 'Ready', 15 * mib)], 15 * mib))
  view.finish()
  view.finish()
  t.equal(written.length, 2)
  t.match(written[1], '100 %')
  t.match(written[1], '\u001b[32m', 'in colour')
  t.match(written[1], 'shop: Ready, 15.0 MiB of 15.0 MiB')
})

t.test('fits the terminal', async t => {
  const { written, view } = setUp(true, { columns: 40, rows: 8, env: { NO_COLOR: '1' } })
  const images = Array.from({ length: 20 }, (_, at) =>
    image(`registry/with/a/long/name-${at}:1`, at === 19 ? 'Fetching' : 'Accepted'),
  )
  view.status(status('Fetching', images))
  const lines = stripVTControlCharacters(written.join('')).trimEnd().split('\n')
  t.ok(lines.length <= 8, `${lines.length} lines`)
  for (const line of lines) t.ok(line.length < 40, line)
  t.match(lines.join('\n'), 'name-19:1', 'what is at work is shown')
  t.match(lines.join('\n'), '… and 15 more')
})

t.test('lines: at each change of phase, and every few seconds', async t => {
  const { written, clock, view } = setUp(false)
  view.status(status('Accepted', [image('mecm/web:1', 'Accepted')]))
  view.status(status('Fetching', [image('mecm/web:1', 'Fetching')]))
  for (clock.now = 0; clock.now <= 11_000; clock.now += 250) {
    view.progress(progress(clock.now * 1000, [image('mecm/web:1', 'Fetching', clock.now * 1000)]))
  }
  view.progress(progress(11_000_000, [image('mecm/web:1', 'Fetched', 11_000_000)]))
  view.status({
    ...status('Failed', [{ ...image('mecm/web:1', 'Failed'), error: 'DENIED: no\u001b[2J' }]),
    reason: 'DENIED',
  })
  view.finish()
  t.strictSame(written, [
    'shop: Accepted, 0 B of 15.0 MiB\n',
    '  mecm/web:1: Fetching, 20.0 MiB, 5.0 MiB of it here already\n',
    'shop: Fetching, 0 B of 15.0 MiB\n',
    'shop: Fetching, 4.8 MiB of 15.0 MiB, 2.0 MiB/s, 5 s left\n',
    'shop: Fetching, 9.5 MiB of 15.0 MiB, 2.0 MiB/s, 5 s left\n',
    '  mecm/web:1: Fetched\n',
    '  mecm/web:1: Failed, DENIED: no [2J\n',
    'shop: Failed, 10.5 MiB of 15.0 MiB\n',
  ])
})

t.test('nothing was missing', async t => {
  const { written, view } = setUp(false)
  const ready = status('Ready', [image('mecm/web:1', 'Ready')])
  view.status({
    ...ready,
    quote: { bytesTotal: 5, bytesMissing: 0, bytesPeakDisk: 0, verdict: 'Accepted', readyAt: null },
  })
  t.match(written.at(-1), 'shop: Ready, everything is here already\n')
})
