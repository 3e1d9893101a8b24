/** `pull` as a process, from a scripted upstream into the embedded registry. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCommand, startCommand } from '../fixtures/command-line.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { seededBytes } from '../fixtures/layers.ts'

const mib = 1024 * 1024

async function setUp(t: Test): Promise<{ upstream: FakeRegistry; file: string }> {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const yaml = `
agent: {id: a, stateDir: state, platforms: [linux/amd64]}
registry: {embedded: {listen: "127.0.0.1:0"}}
upstreams: [{host: "${upstream.host}", plainHttp: true}]
`
  return { upstream, file: join(t.testdir({ 'a.yaml': yaml }), 'a.yaml') }
}

t.test('images arrive, and the second time nothing is fetched', async t => {
  const { upstream, file } = await setUp(t)
  const { root } = upstream.putImage('mecm/web', '1', [seededBytes('web', mib)])
  const words = ['pull', `${upstream.host}/mecm/web:1`, '--config', file]
  const first = await runCommand(words)
  t.equal(first.stderr, '')
  t.equal(first.status, 0)
  t.match(first.stdout, `✓ mecm/web:1  ${root.digest}`)
  t.match(first.stdout, /1\.0 MiB asked for, \d+ B here already, 1\.0 MiB fetched/)
  const again = await runCommand([...words, '--json'])
  t.equal(again.status, 0)
  t.match(JSON.parse(again.stdout), { phase: 'Ready', quote: { bytesMissing: 0 }, bytes: { fetched: 0 } })
})

t.test('one that can not be had: status 1, and the other is here', async t => {
  const { upstream, file } = await setUp(t)
  upstream.putImage('mecm/web', '1', [seededBytes('web', 1000)])
  const names = ['mecm/web:1', 'mecm/none:1'].map(name => `${upstream.host}/${name}`)
  const { status, stdout, stderr } = await runCommand(['pull', ...names, '--config', file])
  t.equal(status, 1)
  t.match(stdout, '✓ mecm/web:1  sha256:')
  t.match(stdout, /✗ mecm\/none:1 {2}(NAME|MANIFEST)_UNKNOWN: /)
  t.match(stderr, /error: not every image is here: (NAME|MANIFEST)_UNKNOWN\n/)
})

t.test('Ctrl-C ends it in order, and the next pull goes on', async t => {
  const { upstream, file } = await setUp(t)
  const layer = upstream.putGeneratedBlob('mecm/web', 8 * mib)
  upstream.putImage('mecm/web', '1', [layer])
  upstream.fault({ kind: 'blob', reference: layer.digest }, { do: 'slow', bytesPerSecond: 4 * mib })
  const words = ['pull', `${upstream.host}/mecm/web:1`, '--config', file]
  const { child, end } = startCommand(words)
  await upstream.until(() => upstream.bytesSent({ kind: 'blob', reference: layer.digest }) > 2 * mib)
  child.kill('SIGINT')
  t.match(await end, { status: 1, signal: null, stderr: /^error: interrupted; what has arrived is kept/ })
  const next = await runCommand([...words, '--json'])
  t.equal(next.status, 0, next.stderr)
  t.ok(JSON.parse(next.stdout).bytes.resumed > mib, 'what had arrived was used')
})
