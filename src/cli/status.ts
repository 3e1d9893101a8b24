/** `status`: how this edge is: broker, upstreams, storage, plans. */
import type { Command } from 'commander'
import type { AgentStatus } from '../http/api/shapes.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { formatBytes, formatRate, formatRelative, formatSeconds } from './format.ts'
import { printable } from './terminal.ts'

export function addStatus(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('status'))
    .description('show how this edge is: broker, upstreams, storage, plans')
    .action(async (flags: ApiFlags) => {
      const status = await withApi(context, flags, client => client.agentStatus())
      if (flags.json) context.terminal.printJson(status)
      else for (const line of describe(status, Date.now())) context.terminal.print(printable(line))
    })
}

function describe(status: AgentStatus, now: number): string[] {
  const { storage, registry, plans } = status
  const free = storage.freeBytes === null ? '' : `, ${formatBytes(storage.freeBytes)} free`
  const phases = Object.entries(plans).filter(([, count]) => count > 0)
  return [
    field('edge', `${status.edge}, version ${status.version}, up ${formatSeconds(status.uptimeSeconds)}`),
    field('ready', status.ready ? 'yes' : 'no'),
    ...status.problems.map(problem => field('', `problem: ${problem}`)),
    ...status.degraded.map(problem => field('', `degraded: ${problem}`)),
    field('broker', describeBroker(status, now)),
    field('registry', `${registry.kind}, ${registry.address}`),
    field('storage', `${formatBytes(storage.usedBytes)} used${free}`),
    field('plans', phases.map(([phase, count]) => `${count} ${phase}`).join(', ') || 'none'),
    field('link', describeLink(status.link, now)),
    ...status.upstreams.map((upstream, at) => field(at === 0 ? 'upstreams' : '', describeUpstream(upstream, now))),
  ]
}

function field(name: string, value: string): string {
  return `${name.padEnd(10)} ${value}`
}

function describeBroker({ broker, outboxMessages }: AgentStatus, now: number): string {
  if (broker === null) return 'none configured'
  const since = broker.since === null ? '' : ` since ${formatRelative(broker.since, now)}`
  const waiting = outboxMessages > 0 ? `, ${outboxMessages} messages wait for it` : ''
  const error = broker.lastError === null ? '' : `: ${broker.lastError}`
  return `${broker.url}, ${broker.connected ? 'connected' : 'away'}${since}${error}${waiting}`
}

function describeLink({ maxRate, configuredMaxRate, window, budget }: AgentStatus['link'], now: number): string {
  const verb = window.open ? 'closes' : 'opens'
  const change = window.changesAt === null ? '' : `, ${verb} ${formatRelative(window.changesAt, now)}`
  const changed = maxRate === configuredMaxRate ? '' : ` (configured: ${configuredMaxRate ?? 'no limit'})`
  const accounts = (budget?.accounts ?? []).map(({ group, usedBytes, limitBytes, debtBytes }) => {
    const debt = debtBytes > 0 ? `, ${formatBytes(debtBytes)} in debt` : ''
    return `; ${group ?? 'budget'}: ${formatBytes(usedBytes)} of ${formatBytes(limitBytes)} this ${budget?.per}${debt}`
  })
  const rate = maxRate === null ? 'no rate limit' : `at most ${maxRate}`
  return `${window.open ? 'open' : 'closed'}${change}, ${rate}${changed}${accounts.join('')}`
}

function describeUpstream(upstream: AgentStatus['upstreams'][number], now: number): string {
  const { host, requests, receivedBytes, lastError: error, goodput, restingUntil, why } = upstream
  const trouble = error === null ? '' : `; ${error.code} ${formatRelative(error.at, now)}: ${error.message}`
  const speed = goodput === null ? '' : ` at ${formatRate(goodput)}`
  const rest = restingUntil === null ? '' : `; rests, asked again ${formatRelative(restingUntil, now)} (${why})`
  return `${host}, ${requests} requests, ${formatBytes(receivedBytes)} received${speed}${rest}${trouble}`
}
