import t from 'tap'
import type { Registry } from '../../src/registry/registry.ts'
import { startPair, unending } from '../fixtures/registry-client.ts'

async function all(registry: Registry): Promise<string[]> {
  const tags: string[] = []
  for await (const tag of registry.listTags('mecm/web', unending)) tags.push(tag)
  return tags
}

t.test('page by page, as far as they are wanted', async t => {
  const { fake, registry } = await startPair(t, { pageSize: 2 })
  for (const tag of ['a', 'b', 'c', 'd', 'e']) fake.putImage('mecm/web', tag, [])
  t.same(await all(registry), ['a', 'b', 'c', 'd', 'e'])
  t.equal(fake.count({ kind: 'tags' }), 3)
  fake.clearLog()
  for await (const tag of registry.listTags('mecm/web', unending)) if (tag === 'a') break
  t.equal(fake.count(), 1)
})

t.test('null, odd names and Link in its other forms', async t => {
  const { fake, registry } = await startPair(t)
  fake.putImage('mecm/web', 'v1', [])
  fake.fault({ kind: 'tags' }, { do: 'body', body: '{"name": "mecm/web", "tags": null}' })
  t.same(await all(registry), [])
  fake.fault({ kind: 'tags' }, { do: 'body', body: '{"tags": ["ok", "not ok", ""]}' })
  t.same(await all(registry), ['ok'])
  const link = `<${fake.url}/x>; rel=prev, <?last=1&n=1>; title="a"; rel=next`
  fake.fault({ kind: 'tags' }, { do: 'headers', set: { link } })
  t.same(await all(registry), ['v1'])
  t.match(fake.requests.at(-1)?.path, /tags\/list\?last=1&n=1$/)
})

t.test('what is no list', async t => {
  const { fake, registry } = await startPair(t)
  await t.rejects(all(registry), { code: 'NAME_UNKNOWN', doing: 'list the tags of mecm/web' })
  fake.putImage('mecm/web', 'v1', [])
  for (const body of ['<html>', '{"tags": [1]}']) {
    fake.fault({ kind: 'tags' }, { do: 'body', body })
    await t.rejects(all(registry), { code: 'UNSUPPORTED' })
  }
  fake.fault({ kind: 'tags' }, { do: 'endless' })
  await t.rejects(all(registry), { code: 'UNSUPPORTED', message: /bytes/ })
})
