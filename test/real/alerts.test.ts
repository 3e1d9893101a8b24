/** The alert rules and the dashboard's expressions as Prometheus' own tool reads them, and what the rules say to what happens. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import { findProgram, lacking } from '../fixtures/programs.ts'

const skip = lacking('promtool')
const monitoring = join(import.meta.dirname, '../../monitoring')

t.test('the rules are right', { skip }, async t => {
  const { status, said } = promtool('check', 'rules', join(monitoring, 'alerts.yaml'))
  t.equal(status, 0, said)
})

t.test('each rule fires when it should, and only then', { skip }, async t => {
  const { status, said } = promtool('test', 'rules', join(import.meta.dirname, 'alerts.promtool.yaml'))
  t.equal(status, 0, said)
})

t.test('no rule is without a test', async t => {
  const names = (file: string, pattern: RegExp) =>
    new Set([...readFileSync(file, 'utf8').matchAll(pattern)].map(match => match[1]))
  const tested = names(join(import.meta.dirname, 'alerts.promtool.yaml'), /alertname: (\w+)/g)
  t.same(tested, names(join(monitoring, 'alerts.yaml'), /alert: (\w+)/g))
})

t.test("the dashboard's expressions are right", { skip }, async t => {
  const text = readFileSync(join(monitoring, 'dashboard.json'), 'utf8')
  const found = [...text.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(match => String(JSON.parse(match[1] ?? '')))
  t.ok(found.length > 20)
  const rules = found.map((expr, at) => ({
    record: `panel:${at}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
  }))
  const dir = t.testdir({ 'rules.yaml': stringify({ groups: [{ name: 'panels', rules }] }) })
  const { status, said } = promtool('check', 'rules', '--lint=none', join(dir, 'rules.yaml'))
  t.equal(status, 0, said)
})

function promtool(...words: readonly string[]): { status: number | null; said: string } {
  const program = findProgram('promtool') ?? 'promtool'
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', timeout: 30_000 })
  return { status, said: `${stdout}\n${stderr}` }
}
