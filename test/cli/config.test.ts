import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { runCommand } from '../fixtures/command-line.ts'

t.test('config check tells every problem with its line, and exits with 2', async t => {
  const dir = t.testdir({ 'agent.yaml': 'agent:\n  idd: a\nlog: {level: loud}\n' })
  const file = join(dir, 'agent.yaml')
  for (const words of [
    ['config', 'check', file],
    ['config', 'check', '--config', file],
    ['run', '--config', file],
  ]) {
    const { status, stdout, stderr } = await runCommand(words)
    t.equal(status, 2)
    t.equal(stdout, '')
    t.equal(
      stderr,
      `${file} is not valid:\n  line 2: agent.idd: is not a key of the configuration; did you mean "id"?\n  line 3: log.level: expected trace, debug, info, warn, error, fatal or silent, got "loud"\n`,
    )
  }
})

t.test('config check says that a file is valid, with its warnings', async t => {
  const file = join(t.testdir({ 'agent.yaml': 'api: {listen: "0.0.0.0:8080", allowInsecure: true}' }), 'agent.yaml')
  t.match(await runCommand(['config', 'check', file]), {
    status: 0,
    stdout: `${file} is valid\n`,
    stderr: /^warning: api.listen is 0.0.0.0:8080/,
  })
  const { stdout } = await runCommand(['config', 'check', file, '--json'])
  t.match(JSON.parse(stdout), { valid: true, file, problems: [], warnings: [/api.listen/] })
})

t.test('config check --json tells the problems on standard output', async t => {
  const file = join(t.testdir({ 'agent.yaml': 'agent: {idd: a}' }), 'agent.yaml')
  const { status, stdout } = await runCommand(['config', 'check', file, '--json'])
  t.equal(status, 2)
  t.match(JSON.parse(stdout), {
    valid: false,
    file,
    problems: [{ key: 'agent.idd', line: 1, message: /did you mean "id"/ }],
  })
})

t.test('config show prints the effective configuration without its secrets', async t => {
  const dir = t.testdir({
    'agent.yaml': 'mqtt: {url: "mqtts://broker.example", username: me, password: geheim}\nagent: {id: a}',
    secret: 'noch geheimer',
  })
  const { status, stdout } = await runCommand(['config', 'show', '--config', join(dir, 'agent.yaml')], {
    env: {
      EDGE_IMAGE_AGENT_TRANSFER_CONCURRENCY: '2',
      EDGE_IMAGE_AGENT_UPSTREAMS: `[{host: r.example, username: u, passwordFile: ${dir}/secret}]`,
    },
  })
  t.equal(status, 0)
  t.notMatch(stdout, /geheim/)
  t.match(parse(stdout), {
    agent: { id: 'a' },
    mqtt: { url: 'mqtts://broker.example', password: '<redacted>', sessionExpiry: '7d' },
    upstreams: [{ host: 'r.example', passwordFile: `${dir}/secret` }],
    transfer: { concurrency: 2, stallTimeout: '30s' },
  })
})
