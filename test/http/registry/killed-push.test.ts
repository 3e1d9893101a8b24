/** The registry is killed in the middle of a push; the client goes on from where the session is. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { image } from '../../fixtures/images.ts'
import { octets, PushClient, withDigest } from '../../fixtures/push-registry.ts'

async function startChild(t: Test, dir: string) {
  const script = join(import.meta.dirname, '../../fixtures/push-child.ts')
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [script, dir], { stdio: ['ignore', 'pipe', 'inherit'], env })
  const exit = once(child, 'exit')
  t.teardown(() => child.kill('SIGKILL'))
  const [line]: [Buffer] = await Promise.race([
    once(child.stdout, 'data').then(([data]): [Buffer] => [data]),
    exit.then((): never => {
      throw new Error('the registry ended before it listened')
    }),
  ])
  const client = new PushClient(`http://${line.toString().trim()}`)
  t.teardown(() => client.close())
  return {
    client,
    kill: async () => {
      child.kill('SIGKILL')
      await exit
    },
  }
}

t.test('kill -9 in the middle of a push', async t => {
  const dir = t.testdir({ state: {}, registry: {} })
  const sample = image({ layers: [{ seed: 'large', bytes: 6_000_000, compression: 'none' }] })
  const [[digest, bytes] = ['', Buffer.alloc(0)]] = [...sample.blobs].toSorted(([, a], [, b]) => b.length - a.length)
  const middle = 4_000_000

  const first = await startChild(t, dir)
  const location = await first.client.begin('mecm/web')
  const sent = Promise.withResolvers<void>()
  async function* half() {
    yield bytes.subarray(0, middle)
    sent.resolve()
    await new Promise(() => {}) // and no more, as on a link that hangs
  }
  const lost = t.rejects(first.client.send('PATCH', location, { headers: octets, body: Readable.from(half()) }))
  await sent.promise
  for (let tries = 0; (await first.client.send('GET', location)).headers.range !== `0-${middle - 1}`; tries++) {
    if (tries > 500) throw new Error('the bytes did not arrive')
  }
  await first.kill()
  await lost

  const { client } = await startChild(t, dir)
  const status = await client.send('GET', location)
  t.equal(status.status, 204, 'the session is there again')
  const offset = Number(status.headers.range?.split('-')[1]) + 1
  t.ok(offset > middle / 2 && offset <= middle, `${offset} of ${middle} bytes were kept`)
  const rest = bytes.subarray(offset)
  const headers = { ...octets, 'content-range': `${offset}-${bytes.length - 1}` }
  t.equal((await client.send('PATCH', location, { headers, body: rest })).status, 202)
  t.equal((await client.send('PUT', withDigest(location, digest))).status, 201)
  const statuses = await client.pushSample('mecm/web', sample, 'v1')
  t.ok(statuses.every(code => code === 201))
  const pulled = await client.send('GET', `/v2/mecm/web/blobs/${digest}`)
  t.ok(pulled.body.equals(bytes))
})
