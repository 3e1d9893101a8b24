import t from 'tap'
import { LinkError, type LinkErrorCode, toLinkError } from '../../src/mqtt/link-error.ts'

const address = 'broker.example:8883'
const coded = (code: string | number) => Object.assign(new Error('raw'), { code })

t.test('says what happened by the code of the error', async t => {
  const cases: [string | number, LinkErrorCode, boolean][] = [
    ['ECONNREFUSED', 'refused', false],
    ['ENOTFOUND', 'dns', false],
    ['EAI_AGAIN', 'dns', false],
    ['EHOSTUNREACH', 'unreachable', false],
    ['ETIMEDOUT', 'timeout', false],
    ['ECONNRESET', 'closed', false],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'tls', true],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls', true],
    ['CERT_HAS_EXPIRED', 'tls', true],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'tls', true],
    ['EPROTO', 'tls', true],
    ['EWHATEVER', 'other', false],
    [1, 'version', false],
    [132, 'version', false],
    [133, 'client-id', true],
    [4, 'credentials', true],
    [5, 'credentials', true],
    [135, 'credentials', true],
    [137, 'busy', false],
    [142, 'taken-over', true],
    [154, 'unsuitable', true],
    [200, 'protocol', false],
  ]
  for (const [raw, code, slow] of cases) {
    const error = toLinkError(coded(raw), address)
    t.match(error, { code, slow }, String(raw))
    t.match(error.message, /broker\.example:8883/, 'it names the broker')
    t.equal(error.cause instanceof Error, true, 'it keeps the cause')
  }
})

t.test('knows the words of the client for a silent broker, and passes its own on', async t => {
  t.equal(toLinkError(new Error('Keepalive timeout'), address).code, 'silent')
  t.equal(toLinkError(new Error('connack timeout'), address).code, 'timeout')
  t.equal(toLinkError('a string', address).code, 'other')
  const own = new LinkError('closed', 'x')
  t.equal(toLinkError(own, address), own)
})
