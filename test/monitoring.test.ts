/** The alert rules and the dashboard use what an agent really exposes, and the dashboard is one that Grafana loads. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Static, Type } from 'typebox'
import { Parse } from 'typebox/value'
import { parse } from 'yaml'
import { AgentProcess } from './fixtures/agent-process.ts'
import { metricsOf, readMetricNames } from './fixtures/metrics.ts'

const folder = join(import.meta.dirname, '../monitoring')

const DataSource = Type.Object({ type: Type.Literal('prometheus'), uid: Type.Literal(`\${datasource}`) })
const Place = Type.Object({ h: Type.Integer(), w: Type.Integer(), x: Type.Integer(), y: Type.Integer() })
const Panel = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  type: Type.Enum(['row', 'stat', 'timeseries']),
  title: Type.String({ minLength: 1 }),
  gridPos: Place,
  datasource: Type.Optional(DataSource),
  fieldConfig: Type.Optional(
    Type.Object({ defaults: Type.Object({ unit: Type.String() }), overrides: Type.Array(Type.Unknown()) }),
  ),
  options: Type.Optional(Type.Object({})),
  targets: Type.Optional(
    Type.Array(
      Type.Object({
        refId: Type.String(),
        datasource: DataSource,
        expr: Type.String({ minLength: 1 }),
        legendFormat: Type.String(),
      }),
      { minItems: 1 },
    ),
  ),
})
const Variable = Type.Object({
  name: Type.String(),
  type: Type.String(),
  query: Type.Unknown(),
  definition: Type.Optional(Type.String()),
})
const Dashboard = Type.Object({
  uid: Type.String({ maxLength: 40 }),
  title: Type.String({ minLength: 1 }),
  schemaVersion: Type.Integer({ minimum: 36 }),
  time: Type.Object({ from: Type.String(), to: Type.String() }),
  templating: Type.Object({ list: Type.Array(Variable) }),
  panels: Type.Array(Panel, { minItems: 1 }),
})
const Rules = Type.Object({
  groups: Type.Array(
    Type.Object({ name: Type.String(), rules: Type.Array(Type.Object({ alert: Type.String(), expr: Type.String() })) }),
  ),
})

const dashboard = Parse(Dashboard, JSON.parse(readFileSync(join(folder, 'dashboard.json'), 'utf8')))
const { groups } = Parse(Rules, parse(readFileSync(join(folder, 'alerts.yaml'), 'utf8')))
const panels = dashboard.panels.filter(panel => panel.type !== 'row')

t.test('every expression reads metrics that a running agent exposes', { timeout: 30_000 }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'monitoring-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const agent = await AgentProcess.prepare({
    ...{ dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: [] },
    mqtt: 'mqtt://127.0.0.1:1', // nobody listens there: the figures are about that, too
    more: { transfer: { budget: { bytes: '1GiB', per: 'day' } } },
  })
  t.teardown(() => agent.stop())
  await agent.start()
  const exposed = await readMetricNames(agent.api)
  const known = (metric: string) => metric === 'up' || exposed.has(metric) // Prometheus makes `up` itself
  for (const rule of groups.flatMap(group => group.rules)) {
    const read = metricsOf(rule.expr)
    t.ok(read.length > 0, rule.alert)
    t.same(
      read.filter(metric => !known(metric)),
      [],
      rule.alert,
    )
  }
  for (const { title, targets = [] } of panels) {
    const read = targets.flatMap(target => metricsOf(target.expr))
    t.ok(read.length > 0, title)
    t.same(
      read.filter(metric => !known(metric)),
      [],
      title,
    )
  }
  const own = [...exposed].filter(name => /^(image_|edge_image_agent_)/.test(name))
  const contract = ['sync_failures', 'storage_usage_percent', 'storage_bytes', 'registry_connection_failures']
  for (const name of [...contract, 'pull_total', 'pull_success_total', 'versions'])
    t.ok(own.includes(`image_${name}`), name)
})

t.test('panels have ids of their own, lie on the grid side by side, and ask the chosen data source', async t => {
  const ids = dashboard.panels.map(panel => panel.id)
  t.equal(new Set(ids).size, ids.length)
  const covered = new Set<string>()
  for (const { title, gridPos } of dashboard.panels) {
    t.ok(gridPos.x >= 0 && gridPos.w > 0 && gridPos.x + gridPos.w <= 24, title)
    const cells = cellsOf(gridPos)
    t.notOk(
      cells.some(cell => covered.has(cell)),
      `${title} lies on no other`,
    )
    for (const cell of cells) covered.add(cell)
  }
  for (const panel of panels) {
    t.ok(panel.datasource && panel.fieldConfig && panel.options && panel.targets, panel.title)
    const refs = panel.targets?.map(target => target.refId) ?? []
    t.equal(new Set(refs).size, refs.length, panel.title)
  }
  const [source, ...others] = dashboard.templating.list
  t.match(source, { name: 'datasource', type: 'datasource', query: 'prometheus' }, 'first: the others ask it')
  const names = ['datasource', ...others.map(variable => variable.name)]
  const used = JSON.stringify(dashboard).match(/\$\{?(?!__)[a-z_]+/g) ?? []
  t.same(
    used.filter(name => !names.includes(name.replace(/^\$\{?/, ''))),
    [],
    'every variable is there',
  )
})

t.test('every alert has a name of its own', async t => {
  const names = groups.flatMap(group => group.rules.map(rule => rule.alert))
  t.equal(new Set(names).size, names.length)
})

function cellsOf({ x, y, w, h }: Static<typeof Place>): string[] {
  return Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`)
}
