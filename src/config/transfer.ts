/** The section `transfer` of the configuration: its keys, the rules between them, and what the program gets. Used by schema.ts, build.ts and config.ts. */
import { type Static, Type } from 'typebox'
import { leastRate, parseDuration, parseRate, parseSize } from '../oci/quantities.ts'
import {
  isTimezone,
  machineTimezone,
  parseTimeOfDay,
  readWindow,
  type TimeWindow,
  type Weekday,
  weekdays,
} from '../oci/time-window.ts'
import type { Report } from './check.ts'
import { duration, list, parseUpstreamHost, text } from './forms.ts'

const days = `${weekdays[0]} to ${weekdays[6]}`

function size(example: string, description: string) {
  const right = (one: string) => (parseSize(one) ?? 0) > 0
  return text('a size, e.g. 512MiB or 20GB', right, { example, description })
}

const timezone = Type.Optional(
  text('the name of a time zone, e.g. Asia/Shanghai', isTimezone, {
    defaultText: "the machine's",
    example: 'Asia/Shanghai',
    description: 'Whose clock it goes by.',
  }),
)

function timeOfDay(example: string, description: string) {
  const right = (one: string) => parseTimeOfDay(one) !== undefined
  return text('a time from "00:00" to "24:00"', right, { example, description })
}

const WindowItem = Type.Object({
  from: timeOfDay('01:00', 'When it opens.'),
  to: timeOfDay('05:00', 'When it closes; not after `from`: on the next day.'),
  timezone,
  days: Type.Optional(
    list(Type.Enum([...weekdays], { expected: days }), {
      defaultText: 'every day',
      example: ['mon', 'tue', 'wed', 'thu', 'fri'],
      description: 'The days on which it opens.',
    }),
  ),
})

const BudgetSection = Type.Object(
  {
    bytes: Type.Optional(size('20GB', 'For the whole site.')),
    per: Type.Enum(['day', 'week', 'month'], {
      expected: 'day, week or month',
      default: 'month',
      description: 'How long it has to last.',
    }),
    firstDay: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: 28 }), Type.Enum([...weekdays])], {
        expected: `a day from 1 to 28 (month), or ${days} (week)`,
        defaultText: 'the 1st; mon',
        example: 1,
        description: 'The day of the month, or of the week, on which it begins anew.',
      }),
    ),
    timezone,
    groups: list(
      Type.Object({
        name: text('text of letters, digits, "-" and "_"', one => /^[A-Za-z0-9_-]{1,63}$/.test(one), {
          example: 'satellite',
          description: 'As statuses and metrics name it.',
        }),
        hosts: list(
          text('host[:port]', one => parseUpstreamHost(one) !== undefined, {}),
          { example: ['registry.mecm.example:5000'], description: 'The upstreams that are counted together.' },
        ),
        bytes: size('2GB', 'For all of them.'),
      }),
      { default: [], description: "Narrower budgets for some upstreams, within the site's." },
    ),
  },
  {
    description:
      'How many bytes may come from upstreams in a day, week or month. When it is used up, transfers wait; a plan of priority 100 goes on, and the next period pays for that.',
  },
)

export const TransferSection = Type.Object(
  {
    concurrency: Type.Integer({
      minimum: 1,
      maximum: 64,
      expected: 'a whole number from 1 to 64',
      default: 4,
      description:
        'Blobs at once, over all plans, at most: with an external registry, two while these bring 64 MiB a second or more.',
    }),
    stallTimeout: duration('1s', '1h', '30s', 'A source that sends nothing for so long is left.'),
    maxRate: Type.Optional(
      text('a rate of at least 1kbit, e.g. 20Mbit or 2.5MB', one => (parseRate(one) ?? 0) >= leastRate, {
        defaultText: 'no limit',
        example: '20Mbit',
        description:
          'Bits or bytes a second from all upstreams together. `PATCH /v1/link` changes it while the agent runs, until its next start.',
      }),
    ),
    windows: list(WindowItem, {
      default: [],
      description: 'When content may come from upstreams; always without any. A plan may name its own.',
    }),
    budget: Type.Optional(BudgetSection),
    diskReserve: text('a size, e.g. 1GiB, or 0B', one => parseSize(one) !== undefined, {
      default: '1GiB',
      description: 'Of the disk that content goes to, so much is left free.',
    }),
  },
  { description: 'How content is fetched.' },
)

type TransferDocument = Static<typeof TransferSection>

/** What the program gets: bytes, bytes a second, milliseconds. */
export interface TransferConfig {
  readonly concurrency: number
  readonly stallTimeoutMs: number
  readonly maxRate?: number
  readonly windows: readonly TimeWindow[]
  readonly budget?: BudgetConfig
  readonly diskReserve: number
}

export interface BudgetConfig {
  readonly bytes?: number
  readonly per: 'day' | 'week' | 'month'
  readonly firstDay?: Weekday | number
  readonly timezone: string
  readonly groups: readonly { readonly name: string; readonly hosts: readonly string[]; readonly bytes: number }[]
}

/** The rules between the keys of the section. */
export function checkTransfer({ windows, budget }: TransferDocument, report: Report): void {
  for (const [at, { days: named }] of windows.entries()) {
    if (named?.length === 0) report(['transfer', 'windows', at, 'days'], 'is empty: name a day, or leave it out')
  }
  if (budget === undefined) return
  const path = ['transfer', 'budget']
  const { per, firstDay, groups } = budget
  const fits = firstDay === undefined || (per === 'month' ? typeof firstDay === 'number' : typeof firstDay === 'string')
  if (!fits || (per === 'day' && firstDay !== undefined)) {
    const wanted = { day: 'nothing: a day begins at midnight', week: days, month: 'a day from 1 to 28' }[per]
    report([...path, 'firstDay'], `does not fit to per: ${per}; expected ${wanted}`)
  }
  if (budget.bytes === undefined && groups.length === 0) report([...path, 'bytes'], 'is missing: how much may it be?')
  const names = new Set<string>()
  for (const [at, { name, hosts }] of groups.entries()) {
    if (names.has(name)) report([...path, 'groups', at, 'name'], `"${name}" stands in another group already`)
    names.add(name)
    if (hosts.length === 0) report([...path, 'groups', at, 'hosts'], 'is empty: name at least one upstream')
  }
}

export function buildTransfer(document: TransferDocument): TransferConfig {
  const { concurrency, stallTimeout, maxRate, windows, budget, diskReserve } = document
  return {
    concurrency,
    stallTimeoutMs: checked(stallTimeout, parseDuration),
    ...(maxRate === undefined ? {} : { maxRate: checked(maxRate, parseRate) }),
    windows: windows.map(readWindow),
    ...(budget === undefined ? {} : { budget: buildBudget(budget) }),
    diskReserve: checked(diskReserve, parseSize),
  }
}

function buildBudget(budget: NonNullable<TransferDocument['budget']>): BudgetConfig {
  const { bytes, per, firstDay, groups } = budget
  return {
    per,
    timezone: budget.timezone ?? machineTimezone(),
    ...(bytes === undefined ? {} : { bytes: checked(bytes, parseSize) }),
    ...(firstDay === undefined ? {} : { firstDay }),
    groups: groups.map(group => ({
      name: group.name,
      hosts: group.hosts.map(host => checked(host, parseUpstreamHost)),
      bytes: checked(group.bytes, parseSize),
    })),
  }
}

/** The schema has let the text pass by the same parser. */
function checked<T>(given: string, parse: (given: string) => T | undefined): T {
  const value = parse(given)
  if (value === undefined) throw new Error(`"${given}" was not checked before it was read`)
  return value
}
