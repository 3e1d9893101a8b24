/** Two agents that share an id take each other's place at the broker. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { startAedes } from '../fixtures/aedes-broker.ts'
import { makeLink, until } from '../fixtures/link.ts'

t.test('two agents with one id are told of each other, and still when they are connected', async t => {
  const broker = await startAedes()
  t.teardown(() => broker.close())
  const links = [makeLink({ url: broker.url }), makeLink({ url: broker.url })]
  t.teardown(() => Promise.all(links.map(({ link }) => link.stop())))
  await Promise.all(links.map(({ link }) => link.start()))
  await until('the suspicion', () => links.some(({ lines }) => lines.some(line => /a second agent/.test(line.msg))))
  const isTold = ({ connected, lastError }: (typeof links)[number]['link']['status']) =>
    connected && /a second agent/.test(lastError ?? '')
  await until('a connected one that says so', () => links.some(({ link }) => isTold(link.status)))
})

t.test('a broker that says who took our place is believed, also when our turn has come again', async t => {
  const now = { ms: 0 }
  let connections = 0
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    connections += 1
    socket.once('data', () => {
      socket.write(Buffer.from('2003000000', 'hex')) // CONNACK of MQTT 5
      if (connections === 1) socket.end(Buffer.from('e0028e00', 'hex')) // DISCONNECT: session taken over
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { link, lines } = makeLink({ url, now: () => now.ms, timing: { retryMinMs: 1, retryMaxMs: 200, stopMs: 50 } })
  t.teardown(() => link.stop())
  await link.start()
  const told = /another client took our place at .*a second agent with the same `agent.id`/
  await until('the reason', () => told.test(link.status.lastError ?? ''))
  t.ok(lines.some(line => told.test(line.msg)))
  await until('our turn', () => link.status.connected)
  t.match(link.status.lastError, told, 'it may be as short as the last one')
  now.ms += 200
  t.match(link.status, { connected: true, lastError: null }, 'a rival would be back by now')
})
