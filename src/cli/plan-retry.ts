/** `plan retry`: a plan that failed is tried again. */
import type { Command } from 'commander'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { describePlan } from './plan-show.ts'

export function addPlanRetry(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('retry'))
    .argument('<NAME>', 'the name of the plan')
    .description('try a plan that failed once more')
    .action(async (name: string, flags: ApiFlags) => {
      const status = await withApi(context, flags, client => client.retryPlan(name))
      if (flags.json) context.terminal.printJson(status)
      else context.terminal.print(describePlan(status))
    })
}
