/** The daemon as a process: its start, its end, and what hinders it. */

import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { type RunningCommand, runCommand, startCommand } from '../fixtures/command-line.ts'

const stuckAgent = join(import.meta.dirname, '../fixtures/stuck-agent.ts')

/** The folder of an agent with ports of its own. */
function prepare(t: Test, more = ''): { file: string; dir: string } {
  const yaml = `agent: {id: a, stateDir: state}\nregistry: {embedded: {listen: "127.0.0.1:0"}}\n${more || 'api: {listen: "127.0.0.1:0"}'}\n`
  const dir = t.testdir({ 'a.yaml': yaml, state: {} })
  return { dir, file: join(dir, 'a.yaml') }
}

/** The first log line with the message, within 20 s. */
async function logLine({ child }: RunningCommand, message: string): Promise<Record<string, unknown>> {
  let seen = ''
  const signal = AbortSignal.timeout(20_000)
  while (child.stdout) {
    const [chunk]: unknown[] = await once(child.stdout, 'data', { signal })
    seen += String(chunk)
    const line = seen.split('\n').find(one => one.includes(`"msg":"${message}"`))
    if (line !== undefined) return JSON.parse(line)
  }
  throw new Error('no output')
}

t.test('starts, answers, and ends in order on a signal', async t => {
  const { file } = prepare(t)
  const running = startCommand(['run', '--config', file])
  t.teardown(() => running.child.kill('SIGKILL'))
  const { address, edge, level } = await logLine(running, 'the API listens')
  t.match({ edge, level }, { edge: 'a', level: 30 })
  const health = await request(`http://${address}/readyz`)
  await health.body.dump()
  t.equal(health.statusCode, 200)
  t.match((await runCommand(['status', '--api', `http://${address}`, '--config', file])).stdout, /ready +yes/)
  running.child.kill('SIGTERM')
  const { status, stdout, stderr } = await running.end
  t.match({ status, stderr }, { status: 0, stderr: '' })
  t.match(stdout, /"msg":"stopped"/)
  for (const line of stdout.trimEnd().split('\n')) t.doesNotThrow(() => JSON.parse(line))
})

t.test('a second signal ends it at once', async t => {
  const running = startCommand(['run', '--config', prepare(t).file], { script: stuckAgent })
  t.teardown(() => running.child.kill('SIGKILL'))
  await logLine(running, 'ready')
  running.child.kill('SIGTERM')
  await logLine(running, 'stopping')
  running.child.kill('SIGTERM')
  t.match(await running.end, { status: 1, stdout: /"msg":"second signal: ending at once"/ })
})

t.test('a second agent on the same state folder is refused', async t => {
  const { file } = prepare(t)
  const running = startCommand(['run', '--config', file])
  t.teardown(() => running.child.kill('SIGKILL'))
  await logLine(running, 'ready')
  t.match(await runCommand(['run', '--config', file]), {
    status: 1,
    stderr: new RegExp(`^error: the state folder .* is in use by process ${running.child.pid}\nhint: Another agent`),
  })
  running.child.kill('SIGINT')
  t.equal((await running.end).status, 0)
})

t.test('a port in use', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const address = other.address()
  const port = typeof address === 'object' ? address?.port : 0
  const { file } = prepare(t, `api: {listen: "127.0.0.1:${port}"}`)
  t.match(await runCommand(['run', '--config', file]), {
    status: 1,
    stderr: `error: 127.0.0.1:${port} is in use by another program: stop it, or change api.listen in the configuration\n`,
  })
})

t.test('a state folder that can not be written', async t => {
  const { file, dir } = prepare(t)
  if (process.getuid?.() === 0) writeFileSync(file, 'agent: {id: a, stateDir: a.yaml/state}')
  else chmodSync(join(dir, 'state'), 0o500)
  t.match(await runCommand(['run', '--config', file]), {
    status: 1,
    stderr: /^error: the folder \S+ can not be written .*\nhint: Make \S+ a folder that the agent's user owns/,
  })
})

t.test('a database from a newer version', async t => {
  const { file, dir } = prepare(t)
  const database = new Database(join(dir, 'state/agent.db'))
  database.pragma('user_version = 9999')
  database.close()
  t.match(await runCommand(['run', '--config', file]), {
    status: 1,
    stderr: /^error: the database in \S+ has version 9999, .*\nhint: Install the newer agent again/,
  })
})
