import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError, loadConfig } from '../../src/config.ts'

function load(t: Test, transfer: string) {
  return loadConfig({ file: join(t.testdir({ 'agent.yaml': `transfer: ${transfer}\n` }), 'agent.yaml'), env: {} })
}

function problemsOf(t: Test, transfer: string): string[] {
  try {
    load(t, transfer)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(one => `${one.key}: ${one.message}`)
    throw error
  }
  return []
}

t.test('rate, windows, budget and reserve', async t => {
  const { config } = load(
    t,
    `{maxRate: 20Mbit, diskReserve: 0B, windows: [{from: "22:00", to: "05:30", timezone: Asia/Shanghai, days: [fri]}],
      budget: {bytes: 20GB, per: week, firstDay: sat, timezone: Europe/Berlin,
        groups: [{name: satellite, hosts: [Sat.example:5000, index.docker.io], bytes: 2GB}]}}`,
  )
  t.match(config.transfer, {
    maxRate: 2_500_000,
    diskReserve: 0,
    windows: [{ from: 1320, to: 330, timezone: 'Asia/Shanghai', days: ['fri'] }],
    budget: {
      ...{ bytes: 20e9, per: 'week', firstDay: 'sat', timezone: 'Europe/Berlin' },
      groups: [{ name: 'satellite', hosts: ['sat.example:5000', 'docker.io'], bytes: 2e9 }],
    },
  })
})

t.test('what they may not be', async t => {
  t.same(
    problemsOf(t, '{maxRate: 10, diskReserve: much, windows: [{from: "1:00", to: "25:00", timezone: Mars/Base}]}'),
    [
      'transfer.maxRate: expected a rate of at least 1kbit, e.g. 20Mbit or 2.5MB, got 10',
      'transfer.windows[0].from: expected a time from "00:00" to "24:00", got "1:00"',
      'transfer.windows[0].to: expected a time from "00:00" to "24:00", got "25:00"',
      'transfer.windows[0].timezone: expected the name of a time zone, e.g. Asia/Shanghai, got "Mars/Base"',
      'transfer.diskReserve: expected a size, e.g. 1GiB, or 0B, got "much"',
    ],
  )
  t.same(problemsOf(t, '{windows: [{from: "01:00", to: "02:00", days: []}]}'), [
    'transfer.windows[0].days: is empty: name a day, or leave it out',
  ])
  t.same(problemsOf(t, '{budget: {per: month}}'), ['transfer.budget.bytes: is missing: how much may it be?'])
  t.same(problemsOf(t, '{budget: {bytes: 1GB, firstDay: mon}}'), [
    'transfer.budget.firstDay: does not fit to per: month; expected a day from 1 to 28',
  ])
  t.same(problemsOf(t, '{budget: {bytes: 1GB, per: week, firstDay: 3}}'), [
    'transfer.budget.firstDay: does not fit to per: week; expected mon to sun',
  ])
  const group = '{name: a, hosts: [], bytes: 1GB}'
  t.same(problemsOf(t, `{budget: {groups: [${group}, ${group}]}}`), [
    'transfer.budget.groups[0].hosts: is empty: name at least one upstream',
    'transfer.budget.groups[1].name: "a" stands in another group already',
    'transfer.budget.groups[1].hosts: is empty: name at least one upstream',
  ])
})
