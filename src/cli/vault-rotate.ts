/** `vault rotate`: encrypts every stored secret under a new key. */
import type { Command } from 'commander'
import { RotationSchema } from '../http/api/audit-routes.ts'
import { Shape } from '../oci/shape.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'

const rotation = new Shape(RotationSchema)

export function addVaultRotate(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('rotate'))
    .description(
      "encrypt every stored secret under a new key; with a key file of your own, under that file's first key",
    )
    .action(async (flags: ApiFlags) => {
      const { terminal } = context
      const done = await withApi(context, flags, client => client.ask('POST', '/v1/vault/rotate', rotation))
      if (flags.json) return terminal.printJson(done)
      terminal.print(`${done.count} secrets are encrypted with the key ${done.keyId}`)
      if (done.unneeded.length > 0) {
        terminal.note(`not needed any more, to be taken out of the key file: ${done.unneeded.join(', ')}`)
      }
    })
}
