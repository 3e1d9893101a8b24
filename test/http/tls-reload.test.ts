import { once } from 'node:events'
import { rename, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { readTls } from '../../src/http/listener.ts'
import { TlsReload } from '../../src/http/tls-reload.ts'
import { lacking } from '../fixtures/programs.ts'
import { makeSelfSigned } from '../fixtures/self-signed.ts'
import { silent } from '../fixtures/state-folder.ts'

const skip = { skip: lacking('openssl') }
const where = { listen: '127.0.0.1:0', key: 'api.listen' }

async function start(t: Test) {
  const dir = t.testdir()
  const files = { certFile: join(dir, 'tls.crt'), keyFile: join(dir, 'tls.key') }
  const first = await makeSelfSigned(dir, 'first')
  await Promise.all([writeFile(files.certFile, first.cert), writeFile(files.keyFile, first.key)])
  const server = createServer(await readTls(files, where), (_request, response) => response.end('x')).listen(
    0,
    '127.0.0.1',
  )
  t.teardown(() => server.close())
  await once(server, 'listening')
  const messages: string[] = []
  const logger = silent.child({})
  logger.info = (_facts: object, text?: string) => messages.push(text ?? '')
  logger.warn = (_facts: object, text?: string) => messages.push(text ?? '')
  const reload = new TlsReload({ files, where, logger, intervalMs: 10 })
  await reload.start(server)
  t.teardown(() => reload.stop())
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  /** Waits until the n-th message; five seconds at most. */
  const told = async (count: number) => {
    for (const end = Date.now() + 5000; messages.length < count && Date.now() < end; ) await delay(5)
    return messages[count - 1]
  }
  return { dir, files, reload, messages, told, nameShown: () => nameShown(port) }
}

async function nameShown(port: number): Promise<unknown> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { subject } = socket.getPeerCertificate()
  socket.destroy()
  return subject.CN
}

t.test('a new certificate is in use soon, without a restart', skip, async t => {
  const { dir, files, told, nameShown } = await start(t)
  t.equal(await nameShown(), 'first')
  const second = await makeSelfSigned(dir, 'second')
  await Promise.all([writeFile(files.certFile, second.cert), writeFile(files.keyFile, second.key)])
  for (let count = 1; (await nameShown()) !== 'second' && count < 5; count++) await told(count)
  t.equal(await nameShown(), 'second')
})

t.test('files that do not fit leave the old certificate in use until they do', skip, async t => {
  const { dir, files, told, nameShown } = await start(t)
  const second = await makeSelfSigned(dir, 'second')
  await writeFile(files.certFile, second.cert)
  t.match(await told(1), /can not be used; the one before stays/)
  t.equal(await nameShown(), 'first')
  await writeFile(files.keyFile, second.key)
  t.match(await told(2), /is in use/)
  t.equal(await nameShown(), 'second')
})

t.test('links that are turned elsewhere, as Kubernetes does, are followed', skip, async t => {
  const { dir, files, told, nameShown } = await start(t)
  const second = await makeSelfSigned(dir, 'second')
  for (const [name, text, file] of [
    ['new.crt', second.cert, files.certFile],
    ['new.key', second.key, files.keyFile],
  ] as const) {
    await writeFile(join(dir, name), text)
    await symlink(join(dir, name), `${file}.link`)
    await rename(`${file}.link`, file)
  }
  for (let count = 1; (await nameShown()) !== 'second' && count < 5; count++) await told(count)
  t.equal(await nameShown(), 'second')
})
