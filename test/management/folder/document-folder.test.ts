/** A folder of documents is applied and followed: real files and a real watch, over management in memory. */
import { once } from 'node:events'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { DocumentFolder } from '../../../src/management/folder/document-folder.ts'
import { openState } from '../../../src/state/database.ts'
import { FakePlans, planStatus } from '../../fixtures/agent-facts.ts'
import { FakeManagement } from '../../fixtures/fake-management.ts'

const source = (name = 'harbor-main', domain = 'harbor.example') => `
kind: RegistrySecret
metadata: {name: ${name}}
spec: {domain: "${domain}", username: robot, password: planted, provider: harbor}
`
const repository = (tag = '1.27') => `
kind: Repository
metadata: {name: nginx}
spec: {repository: library/nginx, tag: "${tag}", registryRef: {name: harbor-main, namespace: default}}
`

/** Lines of the log that tell a change or a problem, as they come. */
class Told {
  readonly lines: Record<string, unknown>[] = []
  readonly stream = new PassThrough()

  constructor() {
    this.stream.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString().trim().split('\n')) this.lines.push(JSON.parse(line))
    })
  }

  /** Waits for a line that fits, at most 5 s; it and what came before are then forgotten. */
  async next(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    // A timer that keeps the process waiting: neither the folder nor AbortSignal.timeout does.
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), 5_000)
    try {
      for (;;) {
        const at = this.lines.findIndex(fits)
        const [line] = at < 0 ? [] : this.lines.splice(0, at + 1).slice(-1)
        if (line) return line
        await once(this.stream, 'data', { signal: late.signal })
      }
    } finally {
      clearTimeout(timer)
    }
  }

  outcome(object: string, outcome: string) {
    return this.next(line => line.object === object && line.outcome === outcome)
  }

  problem(text: RegExp) {
    return this.next(({ problem }) => typeof problem === 'string' && text.test(problem))
  }
}

function site(t: Test, files: Record<string, string>) {
  const dir = t.testdir({ state: {}, docs: files })
  const docs = join(dir, 'docs')
  const state = openState(join(dir, 'state'), { logger: pino({ level: 'silent' }) })
  t.teardown(() => state.close())
  const management = new FakeManagement()
  const { sources, repositories, policies } = management
  const plans = new FakePlans()
  const start = () => {
    const told = new Told()
    const folder = new DocumentFolder({
      ...{ dir: docs, state, kinds: { sources, repositories, policies, plans } },
      logger: pino({ level: 'info' }, told.stream),
      ...{ settleMs: 10, rescanMs: 100 },
    })
    folder.start()
    t.teardown(() => folder.stop())
    return { folder, told }
  }
  const write = (name: string, text: string) => writeFileSync(join(docs, name), text)
  return { docs, management, plans, start, write, ...{ sources, repositories } }
}

const has = (list: { list(query: { namespaces: 'all' }): { items: readonly { metadata: { name: string } }[] } }) =>
  list.list({ namespaces: 'all' }).items.map(({ metadata }) => metadata.name)

t.test('what is there is applied at start, sources first, and what changes is followed', async t => {
  const { start, write, repositories, sources, docs } = site(t, { 'a.yaml': repository(), 'b.yml': source() })
  const { told } = start()
  await told.outcome('RegistrySecret default/harbor-main', 'created')
  await told.outcome('Repository default/nginx', 'created')
  write(
    'c.json',
    JSON.stringify({ kind: 'ImageCleanupPolicy', metadata: { name: 'nightly' }, spec: { keepRecent: 3 } }),
  )
  await told.outcome('ImageCleanupPolicy default/nightly', 'created')
  write('a.yaml', repository('1.28'))
  await told.outcome('Repository default/nginx', 'replaced')
  t.match(repositories.get('default', 'nginx'), { spec: { tag: '1.28' } })
  renameSync(join(docs, 'a.yaml'), join(docs, 'z.yaml'))
  write('d.yaml', source('second'))
  await told.outcome('RegistrySecret default/second', 'created')
  t.same(has(repositories), ['nginx'], 'a document that has moved keeps its object')
  rmSync(join(docs, 'z.yaml'))
  await told.outcome('Repository default/nginx', 'deleted')
  t.same(has(sources), ['harbor-main', 'second'])
})

t.test('only what came from the folder goes with its document, also after a restart', async t => {
  const { start, docs, write, management } = site(t, { 'a.yaml': source('before'), 'b.yaml': source('new') })
  const { sources } = management
  sources.create(
    { metadata: { namespace: 'default', name: 'before', annotations: {}, labels: {} }, spec: specOf('harbor.example') },
    { who: 'test' },
  )
  const first = start()
  await first.told.outcome('RegistrySecret default/new', 'created')
  await first.folder.stop()
  rmSync(join(docs, 'a.yaml'))
  rmSync(join(docs, 'b.yaml'))
  write('c.yaml', source('third'))
  const second = start()
  await second.told.outcome('RegistrySecret default/new', 'deleted')
  t.same(has(sources), ['before', 'third'])
})

t.test('a problem is logged once with file, line and path, and touches no other document', async t => {
  const { start, write, sources } = site(t, {
    'a.yaml': `${source('good')}---${source('bad', 'https://harbor.example')}`,
    'broken.yaml': 'a: [',
  })
  const { told } = start()
  await told.outcome('RegistrySecret default/good', 'created')
  const line = await told.problem(/write "harbor.example"/)
  t.match(line, { file: /a\.yaml$/, line: 6, level: 40, problem: /^spec\.domain/ })
  write('other.yaml', source('other'))
  await told.outcome('RegistrySecret default/other', 'created')
  write('another.yaml', source('another'))
  await told.outcome('RegistrySecret default/another', 'created')
  t.notOk(
    told.lines.some(({ problem }) => String(problem).includes('harbor.example')),
    'not again',
  )
  write('a.yaml', `${source('good')}---${source('bad')}`)
  await told.outcome('RegistrySecret default/bad', 'created')
  t.same(has(sources), ['another', 'bad', 'good', 'other'])
  write('a.yaml', 'a: [')
  await told.problem(/a\.yaml/)
  t.same(has(sources), ['another', 'bad', 'good', 'other'], 'a file that can not be read takes nothing away')
})

t.test('what waits for another document is applied when that comes', async t => {
  const { start, write, repositories, sources } = site(t, { 'a.yaml': repository() })
  const apply = repositories.apply.bind(repositories)
  repositories.apply = (input, by) => {
    sources.get('default', input.spec.registryRef.name)
    return apply(input, by)
  }
  const { told } = start()
  await told.problem(/harbor-main.* not found/)
  write('source.yaml', source())
  await told.outcome('Repository default/nginx', 'created')
})

t.test('a plan that is refused is handed in once for every change of its document', async t => {
  const plan = 'kind: DistributionPlan\nmetadata: {name: shop}\nspec: {}\n'
  const { start, write, plans } = site(t, { 'plan.yaml': plan })
  plans.next = { outcome: 'rejected', name: 'shop', problems: ['spec: expected images'] }
  const { told } = start()
  await told.problem(/expected images/)
  write('source.yaml', source())
  await told.outcome('RegistrySecret default/harbor-main', 'created')
  t.equal(plans.arrivals.length, 1)
  plans.next = { outcome: 'accepted', name: 'shop' }
  write('plan.yaml', `${plan}# corrected`)
  await told.outcome('DistributionPlan shop', 'created')
  t.equal(plans.arrivals.length, 2)
})

t.test('of two documents about one object the first counts, and the second when that has gone', async t => {
  const { start, docs, sources } = site(t, {
    'a.yaml': source('one', 'a.example'),
    'b.yaml': source('one', 'b.example'),
  })
  const { told } = start()
  await told.problem(/the same object stands in .*a\.yaml, line 2/)
  t.match(sources.get('default', 'one'), { spec: { domain: 'a.example' } })
  rmSync(join(docs, 'a.yaml'))
  await told.outcome('RegistrySecret default/one', 'replaced')
  t.match(sources.get('default', 'one'), { spec: { domain: 'b.example' } })
})

t.test('a plan is withdrawn when its document goes', async t => {
  const { start, docs, plans, write } = site(t, {
    'plan.yaml': 'kind: DistributionPlan\nmetadata: {name: shop}\nspec: {}',
    'source.yaml': source(),
  })
  const { told } = start()
  await told.outcome('DistributionPlan shop', 'created')
  plans.statuses.set('shop', planStatus('shop'))
  rmSync(join(docs, 'plan.yaml'))
  write('more.yaml', source('more'))
  await told.outcome('DistributionPlan shop', 'deleted')
  t.equal(plans.find('shop')?.phase, 'Withdrawn')
})

t.test('a source in use stays, with a problem that names who uses it, until it is free', async t => {
  const { start, docs, sources, repositories } = site(t, {
    'a.yaml': source(),
    'b.yaml': repository(),
    'c.yaml': source('other'),
  })
  const { told } = start()
  await told.outcome('Repository default/nginx', 'created')
  rmSync(join(docs, 'a.yaml'))
  await told.problem(/in use by Repository default\/nginx/)
  t.ok(has(sources).includes('harbor-main'))
  repositories.delete('default', 'nginx', { who: 'test' })
  await told.outcome('RegistrySecret default/harbor-main', 'deleted')
})

t.test('a folder that is gone or empty takes nothing away, and the agent goes on', async t => {
  const { start, docs, sources, write } = site(t, { 'a.yaml': source() })
  const { told, folder } = start()
  await told.outcome('RegistrySecret default/harbor-main', 'created')
  rmSync(join(docs, 'a.yaml'))
  await told.problem(/has no documents any more/)
  rmSync(docs, { recursive: true })
  await told.problem(/ENOENT/)
  t.same(has(sources), ['harbor-main'])
  await folder.stop()
  t.throws(() => write('a.yaml', ''))
})

function specOf(domain: string) {
  return { domain, username: 'robot', password: 'planted', provider: 'harbor' }
}
