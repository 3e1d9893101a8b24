/** `apply`, `get`, `describe` and `delete`: the real command line against the real routes, over management in memory. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { runCommandLine } from '../../src/cli/program.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import { readRepository } from '../../src/management/documents.ts'
import { planStatus } from '../fixtures/agent-facts.ts'
import { runCommand, serveApi, startCommand } from '../fixtures/command-line.ts'
import { FakeManagement } from '../fixtures/fake-management.ts'

const source = `
apiVersion: image.theriseunion.io/v1alpha1
kind: RegistrySecret
metadata: {name: harbor-main, namespace: default}
spec: {domain: harbor.example, username: robot, password: secret-1, provider: harbor}
`
const repository = (tag = '1.27') => `
apiVersion: image.theriseunion.io/v1alpha1
kind: Repository
metadata: {name: nginx}
spec:
  repository: library/nginx
  tag: "${tag}"
  registryRef: {name: harbor-main, namespace: default}
`
const plan = `
apiVersion: image.mecm/v1
kind: DistributionPlan
metadata: {name: shop, revision: 1, issuedAt: 2026-01-01T00:00:00Z}
spec: {images: [{source: registry.example/shop:1}]}
`

async function start(t: Test) {
  const management = new FakeManagement()
  const { plans, url } = await serveApi(t, {}, { management })
  const env = { EDGE_IMAGE_AGENT_API: url, EDGE_IMAGE_AGENT_TOKEN: 'admin' }
  const dir = t.testdir({ 'all.yaml': [repository(), source].join('---\n'), 'other.txt': 'not looked at' })
  return {
    ...{ management, plans, env },
    file: join(dir, 'all.yaml'),
    dir,
    /** In this process: a process of its own takes a second. `input` is what `-f given` stands for. */
    run: (words: string, input?: string) => {
      const given = join(dir, 'given')
      if (input !== undefined) writeFileSync(given, input)
      return runHere(words.replace('-f given', `-f ${given}`).split(' '), env)
    },
  }
}

async function runHere(words: readonly string[], env: NodeJS.ProcessEnv) {
  const [stdout, stderr] = [collector(), collector()]
  const status = await runCommandLine(words, {
    terminal: new Terminal(stdout, stderr, {}),
    env,
    version: '0.1.0',
    agent: () => import('../../src/agent.ts'),
  })
  return { status, stdout: stdout.text(), stderr: stderr.text() }
}

function collector() {
  let text = ''
  return {
    write: (chunk: string) => {
      text += chunk
      return true
    },
    on: () => undefined,
    text: () => text,
  }
}

t.test('documents come on standard input, too', async t => {
  const { env } = await start(t)
  const end = await runCommand(['apply', '-f', '-'], { env, input: source })
  t.match(end, { status: 0, stdout: /harbor-main created/ })
})

t.test('apply says of every object what became of it, sources first', async t => {
  const { run, file, dir } = await start(t)
  t.match(await run(`apply -f ${file}`), {
    status: 0,
    stdout:
      'registry-secret.image.theriseunion.io/harbor-main created\nrepository.image.theriseunion.io/nginx created\n',
    stderr: '',
  })
  t.match(await run(`apply -f ${dir}`), { status: 0, stdout: /harbor-main unchanged\n.*nginx unchanged\n/ })
  const named = repository().replace('{name: nginx}', '{name: nginx, annotations: {theriseunion.io/display-name: Web}}')
  t.match(await run('apply -f given', named), { status: 0, stdout: /nginx configured/ })
  const changed = await run('apply -f given', repository('1.28'))
  t.match(changed, { status: 1, stdout: '', stderr: /spec is fixed: delete it and create it again/ })
  t.match(changed.stderr, /hint: edge-image-agent delete repository nginx -n default/)
  const json = await run(`apply -f ${file} --json -n default`)
  t.match(JSON.parse(json.stdout), [
    { kind: 'RegistrySecret', namespace: 'default', name: 'harbor-main', outcome: 'unchanged' },
    { kind: 'Repository', name: 'nginx', outcome: 'configured' },
  ])
})

t.test('what is wrong with a document is told with its file, line and every field; the others are applied', async t => {
  const { run } = await start(t)
  const wrong = source.replace('harbor.example', 'https://harbor.example').replace('harbor}', 'acme}')
  const end = await run('apply -f given', ['a: [', wrong, repository()].join('\n---\n'))
  t.equal(end.status, 1)
  t.match(end.stdout, /nginx created/)
  t.match(end.stderr, /given: line 2/)
  t.match(end.stderr, /given, line \d+: registry-secret.*2 problems/)
  t.match(end.stderr, /spec\.domain: .*write "harbor.example"/)
  t.match(end.stderr, /spec\.provider/)
  t.match(end.stderr, /2 of 3 could not be applied/)
  t.notMatch(end.stderr, /secret-1/)
  t.match(await run('apply -f /nowhere/a.yaml'), { status: 1, stderr: /no such file/i })
  t.match(await run('apply -f given -n team', source), { status: 1, stderr: /-n says "team"/ })
  t.match(await run('apply'), { status: 2 })
})

t.test('plans are applied, too', async t => {
  const { run, plans } = await start(t)
  plans.next = { outcome: 'accepted', name: 'shop' }
  plans.statuses.set('shop', planStatus('shop', 'Withdrawn'))
  t.match(await run('apply -f given', plan), { status: 0, stdout: 'distribution-plan.image.mecm/shop created\n' })
  plans.statuses.set('shop', planStatus('shop'))
  t.match(await run('apply -f given', plan), { status: 0, stdout: /shop configured/ })
  plans.next = { outcome: 'rejected', name: 'shop', problems: ['spec.images[0].source: expected text'] }
  t.match(await run('apply -f given', plan), { status: 1, stderr: /spec\.images\[0\]\.source: expected text/ })
  t.match(await run('get plan'), { status: 0, stdout: /^NAME +REVISION +STATUS .*\nshop +1 +Accepted/ })
  t.match(await run('get plan -l !team'), { status: 0, stdout: /\nshop / })
  t.match(await run('get plan -l team=web'), { status: 0, stdout: '' }, 'a plan has no labels')
  t.match(await run('get repo -l a>b'), { status: 2, stderr: /"a>b" is no selector: expected .*key in \(a,b\)/ })
  const images = [{ source: 'registry.mecm.example/mecm/web:1' }]
  plans.documents.set('shop', {
    ...{ apiVersion: 'image.mecm/v1', kind: 'DistributionPlan' },
    metadata: { name: 'shop', revision: 1, issuedAt: '2026-11-21T08:00:00Z' },
    spec: { images },
  })
  const shown = await run('get plan shop -o json')
  t.match(JSON.parse(shown.stdout), {
    kind: 'DistributionPlan',
    metadata: { revision: 1 },
    spec: { images },
    status: { phase: 'Accepted' },
  })
  t.match(await run('delete plan shop'), { status: 0, stdout: 'distribution-plan.image.mecm "shop" deleted\n' })
  t.equal(plans.find('shop')?.phase, 'Withdrawn')
})

t.test('get shows tables as kubectl does, by every name of a kind', async t => {
  const { run, file } = await start(t)
  await run(`apply -f ${file}`)
  const sources = await run('get rs')
  t.match(
    sources.stdout,
    /^NAME {10}DOMAIN {11}PROVIDER {3}STATUS {3}AGE\nharbor-main {3}harbor\.example {3}harbor {5}<none> {3}\d+[a-z]/,
  )
  for (const name of ['registry-secrets', 'registrysecret', 'RegistrySecret', 'registry-secret/harbor-main']) {
    t.equal((await run(`get ${name}`)).stdout.split('\n')[0], sources.stdout.split('\n')[0], name)
  }
  t.match(await run('get repo -A'), {
    stdout: /^NAMESPACE +NAME +DOMAIN +REPOSITORY +TAG +STATUS +SYNCED +AGE\ndefault +nginx/,
  })
  t.match(await run('get repo -o wide'), { stdout: /SOURCE.*\n.*default\/harbor-main/ })
  t.match(await run('get rs,repo'), { stdout: /registry-secret\/harbor-main[\s\S]*\n\nNAME[\s\S]*repository\/nginx/ })
  t.match(await run('get repo -o name'), { stdout: 'repository/nginx\n' })
  t.match(await run('get repo -n team'), { status: 0, stdout: '', stderr: /No resources found in team namespace/ })
  t.match(await run('get repo none'), { status: 1, stderr: /not found/ })
  t.match(await run('get repositry'), { status: 2, stderr: /did you mean "repository"/ })
  const one = parse((await run('get repo nginx -o yaml')).stdout)
  t.match(one, { kind: 'Repository', spec: { tag: '1.27' } })
  t.match(JSON.parse((await run('get repo -o json')).stdout), { kind: 'List', items: [{ kind: 'Repository' }] })
})

t.test('what was read can be applied again', async t => {
  const { run, file } = await start(t)
  await run(`apply -f ${file}`)
  const read = (await run('get repo -o yaml')).stdout
  t.match(await run('apply -f given', read), { status: 0, stdout: /nginx unchanged/ })
})

t.test('describe shows everything of one object, and the last syncs of a Repository', async t => {
  const { run, file, management } = await start(t)
  await run(`apply -f ${file}`)
  management.runsOf.push({
    ...{ trigger: 'schedule', by: 'system', startedAt: new Date().toISOString(), endedAt: '', outcome: 'Failed' },
    ...{ attempts: 4, bytesMoved: 2048, durationMs: 5, notes: [] },
    error: { code: 'DNS', message: 'no such host', hint: '' },
  })
  const { stdout } = await run('describe repo nginx')
  t.match(stdout, /^Name: +nginx\nNamespace: +default\n/)
  t.match(stdout, /\nSpec:\n {2}Repository: +library\/nginx\n/)
  t.match(stdout, /\n {2}Registry Ref:\n {4}Name: +harbor-main\n/)
  t.match(stdout, /Runs:\n +AGE +TRIGGER +BY +OUTCOME[\s\S]*schedule +system +Failed +<none> +2\.0 KiB +no such host/)
  t.match(await run('describe rs/harbor-main'), { status: 0, stdout: /Domain: +harbor\.example/ })
  const labelled = { kind: 'ImageCleanupPolicy', metadata: { name: 'p', labels: { tier: 'x', siteId: '7' } } }
  await run('apply -f given', JSON.stringify({ ...labelled, spec: { keepRecent: 1 } }))
  t.match((await run('describe icp p')).stdout, /\nLabels:\n {2}tier: +x\n {2}siteId: +7\n/)
  t.match(await run('describe repo'), { status: 2 })
})

t.test('delete takes away by name and by file, what refers to others first', async t => {
  const { run, file } = await start(t)
  await run(`apply -f ${file}`)
  t.match(await run('delete rs harbor-main'), { status: 1, stderr: /in use by Repository default\/nginx/ })
  t.match(await run(`delete -f ${file}`), {
    status: 0,
    stdout: /^repository\S+ "nginx" deleted\nregistry-secret\S+ "harbor-main" deleted\n$/,
  })
  t.match(await run('delete repo nginx'), { status: 1, stderr: /not found/ })
  t.match(await run('delete repo/nginx --ignore-not-found'), { status: 0 })
  t.match(await run('delete repo'), { status: 2 })
})

t.test('a missing right is told as the agent says it', async t => {
  const { file, env } = await start(t)
  const end = await runHere(['apply', '-f', file], { ...env, EDGE_IMAGE_AGENT_TOKEN: 'viewer' })
  t.match(end, { status: 1, stderr: /the right sources:create is missing in namespace "default"/ })
})

t.test('--watch shows what changes until it is interrupted', async t => {
  const { file, env, management, run } = await start(t)
  await run(`apply -f ${file}`)
  const { child, end } = startCommand(['get', 'repo', '--watch'], { env })
  let seen = ''
  const shows = (text: string) =>
    new Promise<void>(resolve => {
      child.stdout?.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
        if (seen.includes(text)) resolve()
      })
    })
  await shows('nginx')
  management.repositories.create(readRepository(parse(repository().replace('nginx}', 'second}'))), { who: 'test' })
  await shows('second')
  child.kill('SIGINT')
  t.match(await end, { status: 0, stdout: /^NAME[\s\S]*nginx[\s\S]*second/ })
  t.equal((await end).stdout.match(/NAME/g)?.length, 1, 'the titles stand there once')
})
