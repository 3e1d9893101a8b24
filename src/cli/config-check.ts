/** `config check`: is the configuration right? */
import type { Command } from 'commander'
import { ConfigError } from '../config.ts'
import { type CommandContext, loadConfigFor } from './context.ts'

export function addConfigCheck(parent: Command, context: CommandContext): void {
  parent
    .command('check [FILE]')
    .description('tell everything that is wrong with a configuration; exit status 2 where something is')
    .option('--config <FILE>', 'the same as FILE')
    .option('--json', 'print the result as JSON')
    .action((argument: string | undefined, options: CheckFlags) => check(context, argument ?? options.config, options))
}

interface CheckFlags {
  readonly config?: string
  readonly json?: boolean
}

function check(context: CommandContext, named: string | undefined, options: CheckFlags): void {
  const { terminal } = context
  try {
    const { file, warnings } = loadConfigFor(context, named)
    if (options.json) terminal.printJson({ valid: true, file: file ?? null, problems: [], warnings })
    else terminal.print(file === undefined ? 'valid (defaults and environment; there is no file)' : `${file} is valid`)
  } catch (error) {
    if (options.json && error instanceof ConfigError) {
      terminal.printJson({ valid: false, file: error.file ?? null, problems: error.problems, warnings: [] })
    }
    throw error
  }
}
