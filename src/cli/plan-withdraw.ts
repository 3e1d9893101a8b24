/** `plan withdraw`: the plan no longer stands; its images stay. */
import type { Command } from 'commander'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { describePlan } from './plan-show.ts'

export function addPlanWithdraw(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('withdraw'))
    .argument('<NAME>', 'the name of the plan')
    .description('end a plan and its work; its images stay')
    .action(async (name: string, flags: ApiFlags) => {
      const status = await withApi(context, flags, client => client.withdrawPlan(name))
      if (flags.json) context.terminal.printJson(status)
      else context.terminal.print(describePlan(status))
    })
}
