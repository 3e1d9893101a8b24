import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Vault, type VaultOptions } from '../../src/access/vault.ts'
import { openState, type State } from '../../src/state/database.ts'
import { openTestState, silent } from '../fixtures/state-folder.ts'

const context = 'RegistrySecret/default/harbor'
const key = (letter: string) => Buffer.alloc(32, letter).toString('base64')

async function openVault(t: Test, dir: string, more: Partial<VaultOptions> = {}) {
  const state = more.state ?? openTestState(t, dir)
  const vault = new Vault({ state, keyFile: join(dir, 'vault-key'), managed: true, logger: silent, ...more })
  await vault.start()
  return { vault, state }
}

function allBoxes(state: State): Buffer[] {
  return state.db
    .prepare<[], { box: Buffer }>('SELECT box FROM secrets ORDER BY context')
    .all()
    .map(row => row.box)
}

t.test('a secret comes back as it went in, and lies encrypted on the disk', async t => {
  const dir = t.testdir()
  const { vault, state } = await openVault(t, dir)
  for (const plain of ['pässword', '', 'x'.repeat(100_000)]) {
    vault.put(context, plain)
    t.equal(vault.find(context), plain)
  }
  vault.put(context, 'planted-secret')
  state.db.pragma('wal_checkpoint(TRUNCATE)')
  t.notOk(readFileSync(join(dir, 'agent.db')).includes('planted-secret'))
  t.equal(statSync(join(dir, 'vault-key')).mode & 0o777, 0o600)
  t.equal(vault.find('RegistrySecret/default/other'), undefined)
  vault.remove(context)
  t.equal(vault.find(context), undefined)
})

t.test('the same secret never gives the same box', async t => {
  const { vault, state } = await openVault(t, t.testdir())
  vault.put('a', 'same')
  vault.put('b', 'same')
  const [a, b] = allBoxes(state)
  t.notSame(a, b)
})

t.test('a box that was changed, cut or moved to another owner does not open', async t => {
  const { vault, state } = await openVault(t, t.testdir())
  vault.put(context, 'secret')
  vault.put('RegistrySecret/default/mine', 'other')
  state.db.exec(
    `UPDATE secrets SET box = (SELECT box FROM secrets WHERE context = '${context}') WHERE context LIKE '%mine'`,
  )
  t.throws(() => vault.find('RegistrySecret/default/mine'), { code: 'vault-damaged' })
  const [, box = Buffer.alloc(0)] = [null, allBoxes(state)[0]]
  for (const wrong of [
    box.subarray(0, 5),
    box.subarray(0, 28),
    Buffer.alloc(0),
    flip(box, 0),
    flip(box, 13),
    flip(box, 30),
  ]) {
    state.db.prepare('UPDATE secrets SET box = ? WHERE context = ?').run(wrong, context)
    t.throws(() => vault.find(context), { code: 'vault-damaged' })
  }
})

t.test('the key is found again after a restart', async t => {
  const dir = t.testdir()
  const state = openState(dir, { logger: silent })
  const { vault } = await openVault(t, dir, { state })
  vault.put(context, 'secret')
  state.close()
  const later = await openVault(t, dir)
  t.equal(later.vault.find(context), 'secret')
})

t.test('a lost key is named, together with what to do, and can be put back', async t => {
  const dir = t.testdir()
  const file = join(dir, 'vault-key')
  const { vault, state } = await openVault(t, dir)
  vault.put(context, 'secret')
  const old = readFileSync(file, 'utf8')
  const lostId = vault.keyId
  rmSync(file)
  const { vault: later } = await openVault(t, dir, { state })
  t.throws(() => later.find(context), {
    code: 'vault-key-unknown',
    message: new RegExp(`${context}.*${lostId}`),
    hint: /further line, from your backup/,
  })
  await t.rejects(later.rotate(), { code: 'vault-key-unknown' })
  later.put('RegistrySecret/default/new', 'works')
  writeFileSync(file, readFileSync(file, 'utf8') + old)
  const { vault: restored } = await openVault(t, dir, { state })
  t.equal(restored.find(context), 'secret')
  t.equal(restored.find('RegistrySecret/default/new'), 'works')
})

t.test('a file that holds no keys is refused, naming it', async t => {
  const dir = t.testdir()
  const file = join(dir, 'vault-key')
  const state = openTestState(t, dir)
  for (const content of ['', '# only words\n', 'short', `${key('a')}\nhalf a ke`, 'x'.repeat(100_000)]) {
    writeFileSync(file, content)
    await t.rejects(openVault(t, dir, { state }), { code: 'vault-key-invalid', message: new RegExp(file) })
    t.equal(readFileSync(file, 'utf8'), content, 'and left as it is')
  }
  rmSync(file)
  await t.rejects(openVault(t, dir, { state, managed: false }), { code: 'vault-key-invalid' })
})

t.test('a key may be raw, base64 or hex', async t => {
  const dir = t.testdir()
  const state = openTestState(t, dir)
  const bytes = Buffer.alloc(32, 7)
  const contents = [
    bytes,
    `${bytes.toString('base64')}\n`,
    bytes.toString('base64url'),
    `# old\r\n${bytes.toString('hex')}\r\n`,
  ]
  const ids = new Set<string>()
  for (const content of contents) {
    writeFileSync(join(dir, 'vault-key'), content)
    ids.add((await openVault(t, dir, { state, managed: false })).vault.keyId)
  }
  t.equal(ids.size, 1)
})

t.test('a rotation encrypts everything under a new key and leaves no old one', async t => {
  const dir = t.testdir()
  const { vault, state } = await openVault(t, dir)
  for (let at = 0; at < 20; at++) vault.put(`s${at}`, `secret ${at}`)
  const before = vault.keyId
  const boxes = allBoxes(state)
  const rotation = await vault.rotate()
  t.match(rotation, { count: 20, unneeded: [] })
  t.not(rotation.keyId, before)
  t.equal(vault.keyId, rotation.keyId)
  t.notOk(readFileSync(join(dir, 'vault-key'), 'utf8').includes(before))
  t.notOk(allBoxes(state).some((box, at) => boxes[at]?.equals(box)))
  for (let at = 0; at < 20; at++) t.equal(vault.find(`s${at}`), `secret ${at}`)
  const { vault: later } = await openVault(t, dir, { state })
  t.equal(later.find('s7'), 'secret 7')
})

t.test('rotations at the same time follow each other', async t => {
  const dir = t.testdir()
  const { vault, state } = await openVault(t, dir)
  vault.put(context, 'secret')
  const done = await Promise.all([vault.rotate(), vault.rotate(), vault.rotate()])
  t.equal(new Set(done.map(one => one.keyId)).size, 3)
  t.equal((await openVault(t, dir, { state })).vault.find(context), 'secret')
})

t.test('a rotation that was cut leaves secrets that are still read', async t => {
  const dir = t.testdir()
  const file = join(dir, 'vault-key')
  const { vault, state } = await openVault(t, dir)
  vault.put(context, 'secret')
  // Cut between the new key's file and the transaction: the new key stands first, nothing uses it yet.
  writeFileSync(file, `${key('n')}\n${readFileSync(file, 'utf8')}`)
  const { vault: later } = await openVault(t, dir, { state })
  t.equal(later.find(context), 'secret')
  await later.rotate()
  t.equal((await openVault(t, dir, { state })).vault.find(context), 'secret')
  t.equal(
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(line => line.length === 44).length,
    1,
  )
})

t.test('a rotation with one unreadable secret changes nothing', async t => {
  const dir = t.testdir()
  const { vault, state } = await openVault(t, dir)
  vault.put('a', 'secret')
  vault.put('b', 'other')
  state.db.exec("UPDATE secrets SET box = x'00' WHERE context = 'b'")
  const [file, keyId] = [readFileSync(join(dir, 'vault-key'), 'utf8'), vault.keyId]
  await t.rejects(vault.rotate(), { code: 'vault-damaged' })
  t.equal(readFileSync(join(dir, 'vault-key'), 'utf8'), file)
  t.equal(vault.keyId, keyId)
  t.equal(vault.find('a'), 'secret')
})

t.test("with a file that is not the agent's own, the rotation takes its first key", async t => {
  const dir = t.testdir()
  const file = join(dir, 'vault-key')
  writeFileSync(file, key('a'))
  const { vault } = await openVault(t, dir, { managed: false })
  vault.put(context, 'secret')
  const old = vault.keyId
  writeFileSync(file, `${key('b')}\n${key('a')}\n`)
  const rotation = await vault.rotate()
  t.match(rotation, { count: 1, unneeded: [old] })
  t.equal(readFileSync(file, 'utf8'), `${key('b')}\n${key('a')}\n`, 'which stays untouched')
  writeFileSync(file, key('b'))
  await vault.start()
  t.equal(vault.find(context), 'secret')
})

function flip(box: Buffer, at: number): Buffer {
  const copy = Buffer.from(box)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}
