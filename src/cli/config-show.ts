/** `config show`: what the configuration comes to. */
import type { Command } from 'commander'
import { formatDocument, redactDocument } from '../config/show.ts'
import { type CommandContext, loadConfigFor } from './context.ts'

export function addConfigShow(parent: Command, context: CommandContext): void {
  parent
    .command('show')
    .description('print the effective configuration (defaults, file, environment) as YAML, secrets redacted')
    .option('--config <FILE>', 'the configuration file')
    .option('--json', 'print it as JSON')
    .action((options: { config?: string; json?: boolean }) => {
      const { document } = loadConfigFor(context, options.config)
      if (options.json) context.terminal.printJson(redactDocument(document))
      else context.terminal.write(formatDocument(document))
    })
}
