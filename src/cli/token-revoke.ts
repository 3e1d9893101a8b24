/** `token revoke`: ends a token, at once. */
import type { Command } from 'commander'
import { Type } from 'typebox'
import { TokenSchema } from '../http/api/token-routes.ts'
import { Shape } from '../oci/shape.ts'
import type { ApiClient } from './api-client.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'

/** The answer has no body. */
const nothing = new Shape(Type.Undefined())
const tokenList = new Shape(Type.Array(TokenSchema))

export function addTokenRevoke(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('revoke'))
    .argument('<TOKEN>', 'the id, or the name, of a token that is valid')
    .description('end a token, at once')
    .action(async (wanted: string, flags: ApiFlags) => {
      const { id, name } = await withApi(context, flags, client => revoke(client, wanted))
      if (flags.json) context.terminal.printJson({ id, name, state: 'revoked' })
      else context.terminal.print(`token ${id} of ${name} is revoked`)
    })
}

async function revoke(client: ApiClient, wanted: string) {
  const tokens = await client.ask('GET', '/v1/tokens', tokenList)
  const token = tokens.find(({ id, name, state }) => state === 'valid' && (id === wanted || name === wanted))
  if (token === undefined) throw new CliError(`there is no valid token "${wanted}"`, { hint: 'token list shows them' })
  await client.ask('DELETE', `/v1/tokens/${encodeURIComponent(token.id)}`, nothing)
  return token
}
