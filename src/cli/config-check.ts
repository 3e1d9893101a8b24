/** `config check`: is the configuration right? */
import type { Command } from 'commander'
import { type CommandContext, loadConfigFor } from './context.ts'

export function addConfigCheck(parent: Command, context: CommandContext): void {
  parent
    .command('check [FILE]')
    .description('tell everything that is wrong with a configuration; exit status 2 where something is')
    .option('--config <FILE>', 'the same as FILE')
    .option('--json', 'print the result as JSON')
    .action((argument: string | undefined, options: { config?: string; json?: boolean }) => {
      const { file, warnings } = loadConfigFor(context, argument ?? options.config)
      if (options.json) context.terminal.printJson({ valid: true, file: file ?? null, problems: [], warnings })
      else
        context.terminal.print(
          file === undefined ? 'valid (defaults and environment; there is no file)' : `${file} is valid`,
        )
    })
}
