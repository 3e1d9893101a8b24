/** `why`: why an image is not here yet, or since when it is. */
import type { Command } from 'commander'
import { WhySchema } from '../http/api/why-route.ts'
import { Shape } from '../oci/shape.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { printable } from './terminal.ts'

const shape = new Shape(WhySchema)

export function addWhy(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('why'))
    .argument('<NAME>', 'a plan, a reference, a name in the local registry, or a digest')
    .description('tell why an image is not here yet, or since when it is')
    .action(async (name: string, flags: ApiFlags) => {
      const path = `/v1/why/${name.split('/').map(encodeURIComponent).join('/')}`
      const why = await withApi(context, flags, client => client.ask('GET', path, shape))
      if (flags.json) context.terminal.printJson(why)
      else for (const line of why.text) context.terminal.print(printable(line))
    })
}
