/** `plan list`: every plan of this edge, with its phase. */
import type { Command } from 'commander'
import type { PlanStatus } from '../plans/status.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { formatBytes, formatRelative } from './format.ts'
import { type Column, formatTable } from './table.ts'

export function addPlanList(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('list'))
    .description('list the plans of this edge')
    .action(async (flags: ApiFlags) => {
      const plans = await withApi(context, flags, client => client.listPlans())
      if (flags.json) context.terminal.printJson(plans)
      else if (plans.length === 0) context.terminal.print('no plans')
      else for (const line of formatTable(plans, columns(Date.now()))) context.terminal.print(line)
    })
}

function columns(now: number): readonly Column<PlanStatus>[] {
  return [
    { title: 'PLAN', value: plan => plan.plan || '(no name)' },
    { title: 'REVISION', value: plan => String(plan.revision ?? '-'), align: 'right' },
    { title: 'PHASE', value: plan => (plan.reason === null ? plan.phase : `${plan.phase} (${plan.reason})`) },
    { title: 'IMAGES', value: plan => String(plan.images.length), align: 'right' },
    { title: 'SIZE', value: plan => (plan.quote ? formatBytes(plan.quote.bytesTotal) : '-'), align: 'right' },
    { title: 'FETCHED', value: plan => formatBytes(plan.bytes.fetched), align: 'right' },
    { title: 'CHANGED', value: plan => formatRelative(plan.at, now) },
  ]
}
