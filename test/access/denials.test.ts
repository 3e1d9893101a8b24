import t from 'tap'
import { Denials } from '../../src/access/denials.ts'
import { openAccess } from '../fixtures/access.ts'
import { silent } from '../fixtures/state-folder.ts'

const denial = (who: string, name: string) =>
  ({ who, action: 'sources:delete', object: { kind: 'RegistrySecret', namespace: 'shop', name } }) as const

t.test('a flood of denied calls leaves so many records a minute, and a count of the rest', async t => {
  const { audit } = openAccess(t)
  const denials = new Denials({ audit, logger: silent, limits: { known: 10, anonymous: 3 } })
  for (let at = 0; at < 100; at++) {
    denials.note(denial('anna', `s${at}`))
    denials.note(denial('anonymous', `s${at}`))
    denials.note(denial('anna', 's0'))
  }
  denials.note(denial('ben', 's0'))
  t.equal(audit.list({ user: 'anna' }).totalItems, 10)
  t.equal(audit.list({ user: 'ben' }).totalItems, 1, "a flood takes nobody else's records")
  t.equal(audit.list({ user: 'anonymous' }).totalItems, 3)
  denials.flush()
  t.match(audit.list({ user: 'system' }).items, [{ outcome: 'denied', detail: { suppressed: 287 } }])
  denials.flush()
  t.equal(audit.list().totalItems, 15, 'a minute without any leaves nothing')
  denials.note(denial('anna', 's0'))
  t.equal(audit.list({ user: 'anna' }).totalItems, 11, 'a new minute begins anew')
})

t.test('what is only counted is on record at the end', async t => {
  const { audit } = openAccess(t)
  const denials = new Denials({ audit, logger: silent, limits: { known: 1, anonymous: 1 } })
  denials.start()
  denials.note(denial('anna', 'a'))
  denials.note(denial('anna', 'b'))
  denials.stop()
  t.match(audit.list().items[0], { who: 'system', detail: { suppressed: 1 } })
})

t.test('a record that can not be written changes nothing for the caller', async t => {
  const audit = {
    record() {
      throw new Error('the disk is full')
    },
  }
  const denials = new Denials({ audit, logger: silent })
  t.doesNotThrow(() => denials.note(denial('anna', 'a')))
})
