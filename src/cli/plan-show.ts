/** `plan show`: one plan's status, with every image. Its text is also how `plan submit`, `withdraw` and `retry` tell a plan's end. */
import type { Command } from 'commander'
import type { ImageStatus, PlanStatus } from '../plans/status.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { formatBytes, formatRelative } from './format.ts'
import { type Column, formatTable } from './table.ts'
import { printable, type Terminal } from './terminal.ts'

export function addPlanShow(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('show'))
    .argument('<NAME>', 'the name of the plan')
    .description('show the status of one plan and of each of its images')
    .action(async (name: string, flags: ApiFlags) => {
      const status = await withApi(context, flags, client => client.findPlan(name))
      if (flags.json) context.terminal.printJson(status)
      else printPlan(context.terminal, status, Date.now())
    })
}

/** The whole status. `now` is in epoch milliseconds. */
export function printPlan(terminal: Terminal, status: PlanStatus, now: number): void {
  const { quote, bytes } = status
  terminal.print(`${describePlan(status)}, ${formatRelative(status.at, now)}`)
  if (status.message !== null) terminal.print(printable(`  ${status.message}`))
  if (status.hint !== null) terminal.print(printable(`  hint: ${status.hint}`))
  if (quote !== null) {
    const resumed = bytes.resumed > 0 ? `, ${formatBytes(bytes.resumed)} resumed` : ''
    terminal.print(
      `  ${formatBytes(quote.bytesTotal)} in all, ${formatBytes(quote.bytesMissing)} missing at the start, ${formatBytes(bytes.fetched)} fetched${resumed}`,
    )
  }
  if (status.images.length === 0) return
  terminal.print('')
  for (const line of formatTable(status.images, imageColumns)) terminal.print(line)
  for (const image of status.images) {
    if (image.error !== null) terminal.print(printable(`${image.target}: ${image.error}`))
  }
}

/** `shop-2.1.0 revision 4: Failed (NAME_UNKNOWN)`. */
export function describePlan(status: PlanStatus): string {
  const revision = status.revision === null ? '' : ` revision ${status.revision}`
  const reason = status.reason === null ? '' : ` (${status.reason})`
  return printable(`${status.plan || 'a plan without a name'}${revision}: ${status.phase}${reason}`)
}

const imageColumns: readonly Column<ImageStatus>[] = [
  { title: 'IMAGE', value: image => image.target },
  { title: 'PHASE', value: image => image.phase },
  { title: 'SIZE', value: image => formatBytes(image.bytesTotal), align: 'right' },
  { title: 'HERE', value: image => formatBytes(image.bytesPresent + image.bytesDone), align: 'right' },
  { title: 'FROM', value: image => image.source },
  { title: 'DIGEST', value: image => image.digest ?? '-' },
]
