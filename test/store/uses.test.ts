import t from 'tap'
import { request } from 'undici'
import { RegistryServer } from '../../src/http/registry/server.ts'
import { Uses } from '../../src/store/uses.ts'
import { multiPlatform } from '../fixtures/images.ts'
import { openTestStore, putSample } from '../fixtures/open-store.ts'
import { silent } from '../fixtures/state-folder.ts'

const minute = 60_000

t.test('a pull over HTTP by tag or digest is a use, HEAD is none', async t => {
  const clock = { now: 1_000_000 }
  const { store } = await openTestStore(t, { now: () => clock.now })
  const sample = multiPlatform(['linux/amd64', 'linux/arm64'])
  await putSample(store, 'mecm/web', sample, '1')
  const server = new RegistryServer({ store, listen: '127.0.0.1:0', logger: silent })
  await server.start()
  t.teardown(() => server.stop())
  const ask = async (method: 'GET' | 'HEAD', reference: string) => {
    clock.now += minute
    const { body } = await request(`http://${server.address}/v2/mecm/web/manifests/${reference}`, { method })
    await body.dump()
    return store.upkeep.taggedImages()[0]?.usedAt
  }
  t.equal(await ask('HEAD', '1'), 1_000_000)
  t.equal(await ask('GET', '1'), 1_000_000 + 2 * minute)
  t.equal(await ask('GET', sample.root.descriptor.digest), 1_000_000 + 3 * minute)
  const [child] = sample.manifests
  t.equal(
    await ask('GET', child?.descriptor.digest ?? ''),
    1_000_000 + 4 * minute,
    'a part of the index is a use of it',
  )
  t.equal(await ask('GET', 'unknown'), 1_000_000 + 4 * minute)
})

t.test('many pulls are one write, and a write that fails is made later', async t => {
  const clock = { now: 5 }
  const writes: number[] = []
  let broken = true
  const rows = {
    record: (uses: Iterable<unknown>) => {
      if (broken) throw new Error('disk full')
      writes.push([...uses].length)
    },
    all: () => [],
  }
  const uses = new Uses({ rows, logger: silent, now: () => clock.now })
  const { manifests } = multiPlatform(['linux/amd64', 'linux/arm64'])
  for (let pull = 0; pull < 1000; pull++) {
    for (const { descriptor } of manifests) uses.pulled('mecm/web', descriptor.digest)
  }
  uses.flush()
  broken = false
  uses.flush()
  uses.flush()
  t.same(writes, [manifests.length])
  t.equal(uses.beingRead('mecm/web').length, manifests.length)
  clock.now += 16 * minute
  t.same(uses.beingRead('mecm/web'), [])
})
