/** Signed plans, made by another implementation of JWS: what is taken, and everything that is not. */
import { createHmac } from 'node:crypto'
import { CompactSign, exportJWK, exportSPKI, FlattenedSign, generateKeyPair, type JWSHeaderParameters } from 'jose'
import t from 'tap'
import { readTrustedKeys, type TrustedKey } from '../../src/oci/jws.ts'
import { parsePlatform } from '../../src/oci/platform.ts'
import { readPlan } from '../../src/plans/plan.ts'
import { PlanSite, planOf } from '../fixtures/plan-site.ts'

const plan = planOf('shop', ['up.example/web:1'])
const bytes = Buffer.from(JSON.stringify(plan))

type Pair = Awaited<ReturnType<typeof generateKeyPair>>

function compact(
  pair: Pair,
  header: JWSHeaderParameters & { alg: string },
  payload: Uint8Array = bytes,
): Promise<string> {
  return new CompactSign(payload).setProtectedHeader(header).sign(pair.privateKey)
}

async function trusted(...pairs: Pair[]): Promise<TrustedKey[]> {
  const texts = await Promise.all(pairs.map(pair => exportSPKI(pair.publicKey)))
  return texts.flatMap(readTrustedKeys)
}

function read(payload: string | object, keys: readonly TrustedKey[]) {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  return readPlan(Buffer.from(text), { platforms: [parsePlatform('linux/amd64')], keys })
}

t.test('every algorithm, compact and flattened, from PEM, JWK and JWK set', async t => {
  for (const alg of ['EdDSA', 'ES256', 'RS256', 'PS256']) {
    const pair = await generateKeyPair(alg, { extractable: true })
    const other = await generateKeyPair('EdDSA', { extractable: true })
    const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'mecm-1' }
    const keys = await trusted(other, pair)
    const flattened = await new FlattenedSign(bytes).setProtectedHeader({ alg }).sign(pair.privateKey)
    t.match(read(await compact(pair, { alg }), keys), { kind: 'plan', plan: { name: 'shop' } }, `${alg} compact`)
    t.match(read(`${await compact(pair, { alg })}\n`, keys), { kind: 'plan' }, 'with a line break from a file')
    t.match(read(flattened, keys), { kind: 'plan' }, `${alg} flattened`)
    t.match(read(await compact(pair, { alg, kid: 'mecm-1' }), readTrustedKeys(JSON.stringify(jwk))), { kind: 'plan' })
    t.match(read(flattened, readTrustedKeys(JSON.stringify({ keys: [jwk] }))), { kind: 'plan' })
  }
})

t.test('what is not signed, or by nobody who is trusted', async t => {
  const [ours, theirs, rsa] = await Promise.all([
    generateKeyPair('EdDSA', { extractable: true }),
    generateKeyPair('EdDSA', { extractable: true }),
    generateKeyPair('RS256', { extractable: true }),
  ])
  const keys = await trusted(ours)
  t.match(read(plan, keys), { kind: 'refused', reason: 'Unsigned' })
  const good = await compact(ours, { alg: 'EdDSA' })
  const untrusted = { kind: 'refused', reason: 'Untrusted' }
  t.match(read(await compact(theirs, { alg: 'EdDSA' }), keys), untrusted, 'an unknown key')
  t.match(read(good, []), { ...untrusted, problems: [/no trusted keys/] })

  const [header = '', , signature = ''] = good.split('.')
  const changed = Buffer.from(JSON.stringify({ ...plan, metadata: { ...plan.metadata, revision: 2 } })).toString(
    'base64url',
  )
  t.match(read(`${header}.${changed}.${signature}`, keys), untrusted, 'another payload')
  t.match(read({ protected: header, payload: changed, signature }, keys), untrusted)
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const body = bytes.toString('base64url')
  t.match(read(`${encode({ alg: 'none' })}.${body}.`, keys), untrusted, 'no signature at all')
  t.match(
    read({ payload: body, signature, header: { alg: 'EdDSA' } }, keys),
    untrusted,
    'an algorithm that is not signed',
  )
  t.match(read({ payload: 7, signature: null }, keys), untrusted)

  const pem = await exportSPKI(rsa.publicKey)
  const hmac = createHmac('sha256', pem)
    .update(`${encode({ alg: 'HS256' })}.${body}`)
    .digest('base64url')
  t.match(
    read(`${encode({ alg: 'HS256' })}.${body}.${hmac}`, readTrustedKeys(pem)),
    untrusted,
    'a public key used as a secret',
  )
  const critical = `${encode({ alg: 'EdDSA', crit: ['b64'], b64: false })}.${body}.${signature}`
  t.match(read(critical, keys), { ...untrusted, problems: [/crit/] })
  const only = { ...(await exportJWK(rsa.publicKey)), alg: 'PS256' }
  t.match(
    read(await compact(rsa, { alg: 'RS256' }), readTrustedKeys(JSON.stringify(only))),
    untrusted,
    "not the key's algorithm",
  )
  const twice = await compact(
    ours,
    { alg: 'EdDSA' },
    Buffer.from(
      JSON.stringify(await new FlattenedSign(bytes).setProtectedHeader({ alg: 'EdDSA' }).sign(ours.privateKey)),
    ),
  )
  t.match(read(twice, keys), { kind: 'refused', reason: 'Invalid' }, 'a signed plan that is signed again')
  t.match(read(await compact(ours, { alg: 'EdDSA' }, Buffer.from('{}')), keys), { kind: 'refused', reason: 'Invalid' })
})

t.test('keys that can not be trusted', async t => {
  const pair = await generateKeyPair('EdDSA', { extractable: true })
  const secret = await exportJWK(pair.privateKey)
  const p384 = await generateKeyPair('ES384', { extractable: true })
  const bad: [string, RegExp][] = [
    ['nothing', /no public key/],
    [JSON.stringify(secret), /private/],
    [JSON.stringify({ kty: 'oct', k: 'c2VjcmV0' }), /symmetric/],
    [JSON.stringify({ keys: [] }), /no key/],
    [await exportSPKI(p384.publicKey), /expected a key for EdDSA/],
    [JSON.stringify({ ...(await exportJWK(pair.publicKey)), use: 'enc' }), /not for signatures/],
  ]
  for (const [text, message] of bad) t.throws(() => readTrustedKeys(text), { message })
})

t.test('over MQTT and HTTP: taken, answered, and withdrawn only by a signature', async t => {
  const pair = await generateKeyPair('EdDSA', { extractable: true })
  const site = new PlanSite(t.testdir(), { keys: await trusted(pair) }).start()
  t.teardown(() => site.stop())
  site.engine.offer('up.example/web:1', { content: 'web', blobs: [{ name: 'web', size: 10 }] })
  const send = async (document: object) => {
    const payload = Buffer.from(await compact(pair, { alg: 'EdDSA' }, Buffer.from(JSON.stringify(document))))
    return site.plans.receive({ via: 'mqtt', scope: 'edge', name: 'shop', payload, retained: false })
  }
  t.match(site.send(plan), { outcome: 'rejected' })
  t.match(site.plans.find('shop'), { phase: 'Rejected', reason: 'Unsigned', hint: /Sign the plan/ })
  t.match(site.post(plan), { outcome: 'rejected' })
  t.match(await send(plan), { outcome: 'accepted' })
  await site.reached('shop', 'Ready')
  t.match(site.empty('shop'), { outcome: 'rejected', problems: [/withdrawal has to be signed/] })
  t.equal(site.plans.find('shop')?.phase, 'Ready')
  const away = { ...plan, metadata: { ...plan.metadata, revision: 2 }, spec: { withdrawn: true } }
  t.match(await send(away), { outcome: 'withdrawn' })
  t.match(site.empty('shop'), { outcome: 'unchanged' }, 'the broker is tidied up')
  t.equal(site.plans.find('shop')?.phase, 'Withdrawn')
})
