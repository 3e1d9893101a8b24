/** Words that are wrong, help, and the version: exit status 0 or 2, before anything is opened. */
import { join } from 'node:path'
import t from 'tap'
import { runCommand } from '../fixtures/command-line.ts'

t.jobs = 2

const commands = [
  [],
  ['run'],
  ['pull'],
  ['plan'],
  ['plan', 'submit'],
  ['plan', 'list'],
  ['plan', 'show'],
  ['plan', 'withdraw'],
  ['plan', 'retry'],
  ['status'],
  ['images'],
  ['collect'],
  ['config'],
  ['config', 'check'],
  ['config', 'show'],
]

t.test('every command has --help', async t => {
  for (const words of commands) {
    const { status, stdout, stderr } = await runCommand([...words, '--help'])
    t.match({ status, stderr }, { status: 0, stderr: '' }, words.join(' '))
    t.match(stdout, ['Usage: edge-image-agent', ...words].join(' '))
  }
})

t.test('the version', async t => {
  t.match(await runCommand(['--version']), { status: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
})

t.test('wrong usage is status 2, on standard error', async t => {
  const cases: [string[], RegExp][] = [
    [['bogus'], /unknown command 'bogus'/],
    [['plan', 'list', '--colour'], /unknown option '--colour'/],
    [['plan', 'show'], /missing required argument 'NAME'/],
    [['pull'], /missing required argument 'REFERENCE'/],
    [['pull', 'https://registry.example/a:1'], /starts with a scheme/],
    [['pull', 'registry.example/a:1', '--platform', 'arm64'], /not a platform/],
    [['status', '--api', '127.0.0.1:8080'], /is not the address of an agent/],
    [[], /Usage: edge-image-agent/],
  ]
  for (const [words, expected] of cases) {
    const { status, stdout, stderr } = await runCommand(words)
    t.match({ status, stdout }, { status: 2, stdout: '' }, words.join(' '))
    t.match(stderr, expected)
  }
})

t.test('with --json a failure is told as JSON, too', async t => {
  const told = async (...words: string[]) => {
    const { status, stdout, stderr } = await runCommand([...words, '--json'])
    return { status, stderr, error: JSON.parse(stdout).error }
  }
  t.match(await told('status', '--api', 'http://127.0.0.1:1'), {
    status: 1,
    stderr: /^error: no agent answers/,
    error: { code: 'FAILED', message: /^no agent answers/, details: [], hint: /start it/ },
  })
  t.match(await told('plan', 'list', '--colour'), { status: 2, error: { code: 'USAGE', message: /^unknown option/ } })
  const config = join(t.testdir({ 'agent.yaml': 'api: {listne: 1}' }), 'agent.yaml')
  t.match(await told('status', '--config', config), {
    status: 2,
    error: { code: 'CONFIG_INVALID', details: [/^api\.listne: /] },
  })
  t.match(await told('pull', 'https://registry.example/a:1'), {
    status: 2,
    error: { message: /starts with a scheme/ },
  })
})
