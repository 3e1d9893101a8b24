/** `token list`: who may use this agent. */
import type { Command } from 'commander'
import { Type } from 'typebox'
import { type TokenDocument, TokenSchema } from '../http/api/token-routes.ts'
import { Shape } from '../oci/shape.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import type { CommandContext } from './context.ts'
import { formatRelative } from './format.ts'
import { type Column, formatTable } from './table.ts'

const tokenList = new Shape(Type.Array(TokenSchema))

export function addTokenList(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('list'))
    .option('--all', 'those that expired or were revoked, too')
    .description('list the tokens, without their secrets')
    .action(async (flags: ApiFlags & { all?: boolean }) => {
      const every = await withApi(context, flags, client => client.ask('GET', '/v1/tokens', tokenList))
      const tokens = flags.all ? every : every.filter(token => token.state === 'valid')
      if (flags.json) context.terminal.printJson(tokens)
      else for (const line of formatTable(tokens, columns(Date.now()))) context.terminal.print(line)
    })
}

function columns(now: number): readonly Column<TokenDocument>[] {
  const when = (time: string | null, never: string) => (time === null ? never : formatRelative(time, now))
  return [
    { title: 'ID', value: token => token.id },
    { title: 'NAME', value: token => token.name },
    { title: 'STATE', value: token => token.state },
    { title: 'ROLES', value: token => token.grants.map(describeGrant).join(', ') },
    { title: 'CREATED', value: token => formatRelative(token.createdAt, now) },
    { title: 'EXPIRES', value: token => when(token.expiresAt, 'never') },
    { title: 'LAST USED', value: token => when(token.lastUsedAt, 'never') },
  ]
}

function describeGrant({ role, namespace }: TokenDocument['grants'][number]): string {
  return namespace === '*' ? role : `${role} in ${namespace}`
}
