import t from 'tap'
import { originOf } from '../../src/registry/connections.ts'
import { open } from '../fixtures/registry-client.ts'

t.test('a host has one registry, whatever it is called', async t => {
  const registries = open(t, { hosts: [] })
  t.equal(registries.get('Registry.Example'), registries.get('registry.example'))
  t.equal(registries.get('index.docker.io'), registries.get('docker.io'))
  t.equal(registries.get('docker.io').host, 'docker.io')
})

t.test('where it is reached', async t => {
  t.equal(originOf({ host: 'docker.io' }).origin, 'https://registry-1.docker.io')
  t.equal(originOf({ host: 'registry.example:443' }).origin, 'https://registry.example')
  t.equal(originOf({ host: 'registry.example:5000', plainHttp: true }).origin, 'http://registry.example:5000')
})

t.test('hosts without end do not fill the memory', async t => {
  const registries = open(t, { hosts: [] })
  const first = registries.get('host-0.example')
  for (let i = 1; i < 300; i++) registries.get(`host-${i}.example`)
  t.not(registries.get('host-0.example'), first)
})
