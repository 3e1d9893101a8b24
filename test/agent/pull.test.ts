import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { pullImages } from '../../src/agent/pull.ts'
import { loadConfig } from '../../src/config.ts'
import { State } from '../../src/state/database.ts'
import { FakeRegistry } from '../fixtures/fake-registry.ts'
import { seededBytes } from '../fixtures/layers.ts'
import { silent } from '../fixtures/state-folder.ts'

t.test('what is told to be ready outlives a power loss, without a tag, too', async t => {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  const { root } = upstream.putImage('mecm/web', '1', [seededBytes('web', 5000)])
  const yaml = `
agent: {id: a, stateDir: state, platforms: [linux/amd64]}
registry: {embedded: {listen: "127.0.0.1:0"}}
upstreams: [{host: "${upstream.host}", plainHttp: true}]
`
  const dir = t.testdir({ 'a.yaml': yaml })
  const { config } = loadConfig({ file: join(dir, 'a.yaml'), env: {} })
  const database = join(config.agent.stateDir, 'agent.db')
  const left = join(dir, 'left.db')
  const reference = `${upstream.host}/mecm/web@${root.digest}`
  const status = await pullImages(
    config,
    { references: [reference] },
    {
      ...{ logger: silent, version: '0.0.0', signal: new AbortController().signal },
      onStatus: ({ phase }) => {
        // The database's own file: the log beside it may hold more, but the disk need not have that yet.
        if (phase === 'Ready') copyFileSync(database, left)
      },
      onProgress: () => {},
    },
  )
  t.equal(status.phase, 'Ready')
  t.ok(existsSync(left))
  const db = new Database(left, { readonly: true })
  t.teardown(() => db.close())
  t.match(db.prepare('SELECT repository, digest FROM manifests').all(), [
    { repository: 'mecm/web', digest: root.digest },
  ])
})

t.test('a pull that could not be made durable has failed, and says why', async t => {
  const upstream = await FakeRegistry.start()
  t.teardown(() => upstream.stop())
  upstream.putImage('mecm/web', '1', [seededBytes('web', 5000)])
  const yaml = `
agent: {id: a, stateDir: state, platforms: [linux/amd64]}
registry: {embedded: {listen: "127.0.0.1:0"}}
upstreams: [{host: "${upstream.host}", plainHttp: true}]
`
  const { config } = loadConfig({ file: join(t.testdir({ 'a.yaml': yaml }), 'a.yaml'), env: {} })
  t.intercept(State.prototype, 'sync', {
    value: () => {
      throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
    },
  })
  const status = await pullImages(
    config,
    { references: [`${upstream.host}/mecm/web:1`] },
    {
      ...{ logger: silent, version: '0.0.0', signal: new AbortController().signal },
      onStatus: () => {},
      onProgress: () => {},
    },
  )
  t.match(status, { phase: 'Failed', reason: 'NO_SPACE' })
})
