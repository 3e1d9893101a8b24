/** `audit list`: what was done, by whom, and what was denied. */
import type { Command } from 'commander'
import { type AuditPage, AuditPageSchema } from '../http/api/audit-routes.ts'
import { parseDuration } from '../oci/quantities.ts'
import { Shape } from '../oci/shape.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { type Column, formatTable } from './table.ts'

const auditPage = new Shape(AuditPageSchema)

interface ListFlags extends ApiFlags {
  readonly user?: string
  readonly action?: string
  readonly kind?: string
  readonly namespace?: string
  readonly object?: string
  readonly outcome?: string
  readonly since?: string
  readonly until?: string
  readonly page: string
  readonly limit: string
}

export function addAuditList(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('list'))
    .description('list the records, the newest first')
    .option('--user <NAME>', 'what this caller did')
    .option('--action <ACTION>', 'such as sources:delete, tokens:create, login')
    .option('--kind <KIND>', 'what was done to objects of this kind')
    .option('-n, --namespace <NAMESPACE>', 'in this namespace')
    .option('--object <NAME>', 'to objects of this name')
    .option('--outcome <OUTCOME>', 'success, failure or denied')
    .option('--since <TIME>', 'from this time on: 2026-05-01T00:00:00Z, or so long ago: 24h')
    .option('--until <TIME>', 'before this time, written the same way')
    .option('--page <NUMBER>', 'which page', '1')
    .option('--limit <NUMBER>', 'records on a page, at most 1000', '50')
    .action((flags: ListFlags) => list(context, flags))
}

async function list(context: CommandContext, flags: ListFlags): Promise<void> {
  const { terminal } = context
  const path = `/v1/audit?${queryOf(flags, Date.now())}`
  const page = await withApi(context, flags, client => client.ask('GET', path, auditPage))
  if (flags.json) return terminal.printJson(page)
  for (const line of formatTable(page.items, columns)) terminal.print(line)
  if (page.items.length < page.totalItems) {
    terminal.note(
      `page ${flags.page}: ${page.items.length} of ${page.totalItems} records; --page and --limit show others`,
    )
  }
}

/** The query that the flags stand for. @throws CliError (2) for a time that is none. */
export function queryOf(flags: ListFlags, now: number): URLSearchParams {
  const { user, action, kind, namespace, object, outcome, since, until, page, limit } = flags
  const times = { since: timeOf(since, now), until: timeOf(until, now) }
  const given = Object.entries({ user, action, kind, namespace, object, outcome, ...times, page, limit })
  const query = new URLSearchParams()
  for (const [key, value] of given) if (value !== undefined) query.set(key, value)
  return query
}

function timeOf(text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined
  const ago = parseDuration(text)
  const time = ago === undefined ? Date.parse(text) : now - ago
  if (Number.isNaN(time)) {
    throw new CliError(`"${text}" is neither a time (2026-05-01T00:00:00Z) nor a duration (24h)`, { exitStatus: 2 })
  }
  return new Date(time).toISOString()
}

const columns: readonly Column<AuditPage['items'][number]>[] = [
  { title: 'TIME', value: record => record.at },
  { title: 'WHO', value: record => record.who },
  { title: 'FROM', value: record => record.from ?? '-' },
  { title: 'ACTION', value: record => record.action },
  { title: 'OUTCOME', value: record => record.outcome },
  { title: 'OBJECT', value: ({ object }) => [object.kind, object.namespace, object.name].filter(Boolean).join('/') },
  {
    title: 'DETAIL',
    value: ({ detail }) =>
      Object.entries(detail)
        .map(pair => pair.join('='))
        .join(' '),
  },
]
