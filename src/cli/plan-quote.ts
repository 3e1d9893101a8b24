/** `plan quote`: what a plan would take of link and disk, and when it would be here. Nothing of it is begun. */
import type { Command } from 'commander'
import type { PlanQuote } from '../plans/quote.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { formatBytes } from './format.ts'
import { readPlan, tellProblems } from './plan-submit.ts'
import { type Column, formatTable } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

export function addPlanQuote(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('quote'))
    .argument('<FILE>', 'the plan, JSON or YAML; - reads standard input')
    .description('ask what a plan would take and when it would be here; exit status 0 unless it is Infeasible')
    .action(async (file: string, flags: ApiFlags) => {
      const payload = await readPlan(file)
      const answer = await withApi(context, flags, client => tellProblems(context, () => client.quotePlan(payload)))
      if (flags.json) context.terminal.printJson(answer)
      else printQuote(context.terminal, answer)
      if (answer.quote.verdict === 'Infeasible') throw new CliError(`${answer.plan} is not feasible as the site is now`)
    })
}

function printQuote(terminal: Terminal, { plan, revision, readyBy, quote, message, images }: PlanQuote): void {
  terminal.print(printable(`${plan} revision ${revision}: ${quote.verdict}`))
  if (message !== null) terminal.print(printable(`  ${message}`))
  const { bytesTotal, bytesMissing, bytesPeakDisk, readyAt } = quote
  terminal.print(
    `  ${formatBytes(bytesTotal)} in all, ${formatBytes(bytesMissing)} missing, ${formatBytes(bytesPeakDisk)} more on the disk`,
  )
  terminal.print(
    `  ready at about ${readyAt ?? '(no rate is known yet)'}${readyBy === null ? '' : `, wanted by ${readyBy}`}`,
  )
  if (images.length === 0) return
  terminal.print('')
  for (const line of formatTable(images, imageColumns)) terminal.print(line)
  for (const { target, error } of images) if (error !== null) terminal.print(printable(`${target}: ${error}`))
}

const imageColumns: readonly Column<PlanQuote['images'][number]>[] = [
  { title: 'IMAGE', value: image => image.target },
  { title: 'SIZE', value: image => formatBytes(image.bytesTotal), align: 'right' },
  { title: 'HERE', value: image => formatBytes(image.bytesPresent), align: 'right' },
  { title: 'FROM', value: image => image.source },
  { title: 'DIGEST', value: image => image.digest ?? '-' },
]
