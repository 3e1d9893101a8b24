/** The collection over HTTP: tried, begun, followed, and on record with who asked from where. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Lifecycle } from '../../../src/management/lifecycle/lifecycle.ts'
import { bearer, openLockedDoor } from '../../fixtures/access.ts'
import { idleUpkeep, startApi } from '../../fixtures/agent-facts.ts'
import { openCleanupSite } from '../../fixtures/cleanup-site.ts'
import { image } from '../../fixtures/images.ts'
import { putSample } from '../../fixtures/open-store.ts'
import { silent } from '../../fixtures/state-folder.ts'

async function start(t: Test) {
  const site = await openCleanupSite(t)
  const dir = join(t.testdirName, 'door')
  mkdirSync(dir)
  const door = await openLockedDoor(t, dir)
  const { cleanup, namespaces, now, store } = site
  const lifecycle = new Lifecycle({
    ...{ cleanup, namespaces, now, holds: () => [], marks: undefined, scrub: undefined },
    ...{ audit: door.audit, logger: silent },
  })
  t.teardown(() => lifecycle.stop())
  const { app } = await startApi(t, { ...door.parts, upkeep: lifecycle })
  const headers = bearer(door.grant('anna', { role: 'image-admin', namespace: '*' }))
  const ask = (method: 'GET' | 'POST', url: string) => app.inject({ method, url, headers, remoteAddress: '10.0.0.7' })
  const sample = image({ seed: 'one' })
  await putSample(store, 'mecm/web', sample, '1')
  store.upkeep.removeTags([{ repository: 'mecm/web', tag: '1', digest: sample.root.descriptor.digest }])
  return { ...door, ...site, ask, audit: door.audit }
}

t.test('a dry run tells what the collection then takes', async t => {
  const { ask, store, audit } = await start(t)
  const used = await store.content.usedBytes()
  t.match((await ask('GET', '/v1/collection')).json(), {
    registry: 'embedded',
    running: false,
    lastAt: null,
    last: null,
  })
  const dry = await ask('POST', '/v1/collection?dryRun=true')
  t.match(dry.json(), { manifests: 1, bytesFreed: used })
  t.equal(await store.content.usedBytes(), used)
  t.equal(audit.list({ action: 'images:delete' }).totalItems, 0)

  const begun = await ask('POST', '/v1/collection')
  t.equal(begun.statusCode, 202)
  t.match(begun.json(), { running: true })
  t.equal((await ask('POST', '/v1/collection')).statusCode, 202, 'one that goes on serves for another')
  let now = begun.json()
  for (; now.running; await delay(10)) now = (await ask('GET', '/v1/collection')).json()
  t.same(now.last, dry.json())
  t.match(now, { lastAt: '2026-01-01T00:00:00.000Z', error: null })
  t.equal(await store.content.usedBytes(), 0)
  const { items } = audit.list({ action: 'images:delete' })
  t.match(items, [{ who: 'anna', from: '10.0.0.7', outcome: 'success', detail: { bytes: used } }])
  t.equal(items.length, 1)
})

t.test('beside an external registry there is nothing to try', async t => {
  const upkeep = { ...idleUpkeep, preview: async () => undefined }
  const { app } = await startApi(t, { upkeep })
  const answer = await app.inject({ method: 'POST', url: '/v1/collection?dryRun=true' })
  t.equal(answer.statusCode, 409)
  t.match(answer.json(), { error: { message: /an external registry collects by itself/ } })
})
