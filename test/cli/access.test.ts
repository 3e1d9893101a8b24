/** Tokens, audit and vault by command, against a running agent whose door is locked. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ApiServer } from '../../src/http/api/server.ts'
import { agentFacts, FakePlans, openDoor } from '../fixtures/agent-facts.ts'
import { AgentProcess } from '../fixtures/agent-process.ts'
import { type CommandOptions, runCommand } from '../fixtures/command-line.ts'
import { lacking } from '../fixtures/programs.ts'
import { makeSelfSigned } from '../fixtures/self-signed.ts'
import { silent } from '../fixtures/state-folder.ts'

async function startAgent(t: Test, more: Record<string, object> = {}) {
  const dir = t.testdir()
  const agent = await AgentProcess.prepare({ dir, edge: 'edge-01', platform: 'linux/amd64', upstreams: [], more })
  await agent.start()
  t.teardown(() => agent.stop())
  const file = agent.configFile
  /** As somebody on the agent's machine. */
  const here = (words: readonly string[], options: CommandOptions = {}) =>
    runCommand([...words, '--config', file], options)
  /** As somebody with this token elsewhere. */
  const elsewhere = (token: string, words: readonly string[]) =>
    runCommand([...words, '--api', agent.api], { env: { EDGE_IMAGE_AGENT_TOKEN: token } })
  return { agent, dir, here, elsewhere, tokenFile: agent.tokenFile }
}

t.test('tokens are made, used, listed and revoked, and the audit tells of it', async t => {
  const { agent, here, elsewhere, tokenFile } = await startAgent(t)
  t.equal(statSync(tokenFile).mode & 0o777, 0o600)
  t.match(await here(['status']), { status: 0, stdout: /edge-01/ })

  const made = await here(['token', 'create', 'console', '--role', 'image-viewer', '--expires', '90d'])
  t.match(made, {
    status: 0,
    stdout: /^eia_\S+\n$/,
    stderr: /^token [0-9a-f]{16} of console, valid until \d{4}-.*not shown again\n$/,
  })
  const secret = made.stdout.trim()
  t.match(await elsewhere(secret, ['plan', 'list']), { status: 0, stdout: 'no plans\n' })
  t.match(await elsewhere(secret, ['token', 'list']), {
    status: 1,
    stderr: 'error: "console" may not do this: the right tokens:read is missing\n',
  })
  t.match(await runCommand(['plan', 'list', '--api', agent.api, '--token', secret]), { status: 0 })

  const listed = await here(['token', 'list'])
  t.match(listed.stdout, /NAME +STATE +ROLES/)
  t.match(listed.stdout, /console +valid +image-viewer/)
  t.match(await here(['token', 'revoke', 'console']), { status: 0, stdout: /of console is revoked/ })
  t.match(await elsewhere(secret, ['plan', 'list']), {
    status: 1,
    stderr: /^error: the token is not valid.*\nhint: the token that was given is not taken/,
  })
  t.match(await here(['token', 'revoke', 'console']), {
    status: 1,
    stderr: /no valid token "console"\nhint: token list/,
  })
  t.notMatch((await here(['token', 'list'])).stdout, /console/)
  t.match((await here(['token', 'list', '--all'])).stdout, /console +revoked/)

  const audit = await here(['audit', 'list', '--object', 'console', '--since', '1h'])
  t.match(
    audit.stdout,
    /admin +127.0.0.1 +tokens:delete +success +Token\/console[\s\S]*admin +127.0.0.1 +tokens:create/,
  )
  t.match(JSON.parse((await here(['audit', 'list', '--outcome', 'denied', '--json'])).stdout), {
    items: [{ action: 'login' }, { who: 'console', action: 'tokens:read' }],
  })
  t.match(await here(['audit', 'verify']), { status: 0, stdout: /^\d records since .* as they were written\n/ })
  const lines = (await here(['audit', 'export'])).stdout.trimEnd().split('\n')
  t.match(JSON.parse(lines[0] ?? ''), { seq: 1, who: 'system', object: { kind: 'Token', name: 'admin' } })
  t.notOk(lines.join().includes(secret.slice(-43)))
  t.match(await here(['collect', '--dry-run']), {
    status: 0,
    stdout: 'would free 0 B: 0 files, 0 manifests and 0 blobs',
  })
  t.match(await here(['collect']), { status: 0, stdout: 'freed 0 B: 0 files, 0 manifests and 0 blobs' })
  t.match(await here(['audit', 'list', '--action', 'images:delete']), {
    stdout: /admin +127.0.0.1 +images:delete +success +LocalRegistry\/collection/,
  })
  t.match(await here(['vault', 'rotate']), {
    status: 0,
    stdout: /^0 secrets are encrypted with the key [0-9a-f]{16}\n$/,
  })
  t.notMatch(readFileSync(agent.logFile, 'utf8'), new RegExp(secret.slice(-43)))
  t.notMatch(readFileSync(agent.logFile, 'utf8'), new RegExp(readFileSync(tokenFile, 'utf8').trim().slice(-43)))
})

t.test(
  'without a token the command says where one comes from; the file of this machine is sent nowhere else',
  async t => {
    const { agent, tokenFile } = await startAgent(t)
    t.match(await runCommand(['plan', 'list', '--api', agent.api]), {
      status: 1,
      stderr:
        /^error: this call needs a token.*\nhint: there is no \/var\/lib\/edge-image-agent\/admin-token: give one by --token/,
    })
    const abroad = agent.api.replace('127.0.0.1', '[::ffff:127.0.0.1]')
    t.match(await runCommand(['plan', 'list', '--api', abroad, '--config', agent.configFile]), {
      status: 1,
      stderr: /^error: this call needs a token.*\nhint: give one by --token or EDGE_IMAGE_AGENT_TOKEN/,
    })
    rmSync(tokenFile)
    t.match(await runCommand(['plan', 'list', '--config', agent.configFile]), {
      status: 1,
      stderr: new RegExp(`hint: there is no ${tokenFile}`),
    })
  },
)

t.test('where no way in is left, a token is made while no agent runs', async t => {
  const { agent, here, elsewhere, tokenFile } = await startAgent(t)
  rmSync(tokenFile)
  const words = ['token', 'create', 'rescue', '--role', 'image-admin', '--offline']
  t.match(await here(words), { status: 1, stderr: /in use by process \d+/ })
  await agent.stop()
  const made = await here([...words, '--json'])
  t.match(JSON.parse(made.stdout), {
    name: 'rescue',
    token: /^eia_/,
    grants: [{ role: 'image-admin', namespace: '*' }],
  })
  await agent.start()
  t.match(await elsewhere(JSON.parse(made.stdout).token, ['audit', 'list']), {
    status: 0,
    stdout: /offline .*tokens:create/,
  })
  t.match(await agent.logTail(), /there is no file admin-token/)
})

t.test('wrong words are refused before anything is asked', async t => {
  const { here } = await startAgent(t)
  t.match(await here(['token', 'create', 'a']), { status: 2, stderr: /required option '--role/ })
  t.match(await here(['token', 'create', 'a', '--role', 'root']), { status: 2, stderr: /image-viewer, image-operator/ })
  t.match(await here(['token', 'create', 'a', '--role', 'image-viewer', '--expires', 'soon']), {
    status: 2,
    stderr: /90d/,
  })
  t.match(await here(['audit', 'list', '--since', 'yesterday']), { status: 2, stderr: /neither a time/ })
  t.match(await here(['token', 'create', 'a b', '--role', 'image-viewer']), { status: 1, stderr: /name: expected/ })
  const two = await here(['token', 'create', 'a', '--role', 'image-viewer', '-n', 'shop', 'ship', '--json'])
  t.match(JSON.parse(two.stdout).grants, [{ namespace: 'shop' }, { namespace: 'ship' }])
})

t.test('an agent with TLS is known by its own certificate', { skip: lacking('openssl') }, async t => {
  const dir = t.testdir()
  const { cert, key } = await makeSelfSigned(dir, 'edge')
  const files = { certFile: join(dir, 'api.crt'), keyFile: join(dir, 'api.key') }
  writeFileSync(files.certFile, cert)
  writeFileSync(files.keyFile, key)
  const facts = { facts: agentFacts(), plans: new FakePlans(), ...openDoor(), logger: silent }
  const server = new ApiServer({ listen: '127.0.0.1:0', tls: files, ...facts })
  await server.start()
  t.teardown(() => server.stop())
  const config = join(dir, 'a.yaml')
  const tls = 'tls: {certFile: api.crt, keyFile: api.key}'
  writeFileSync(config, `agent: {stateDir: ${dir}}\napi: {listen: "${server.address}", ${tls}}\n`)
  t.match(await runCommand(['status', '--config', config]), { status: 0, stdout: /ready +yes/ })
  const url = `https://${server.address}`
  t.match(await runCommand(['status', '--api', url]), { status: 1, stderr: /no agent answers at https.*certificate/ })
})

t.test('a key file that holds no key keeps the agent from starting, and says so', async t => {
  const dir = t.testdir({ 'vault-key': 'short' })
  const more = { access: { vaultKeyFile: join(dir, 'vault-key') } }
  const agent = await AgentProcess.prepare({ dir, edge: 'e', platform: 'linux/amd64', upstreams: [], more })
  t.match(await runCommand(['run', '--config', agent.configFile]), {
    status: 1,
    stderr: /vault-key does not hold the vault's keys[\s\S]*hint: Put the keys back from your backup/,
  })
})
