/** `token create`: a token for somebody or something that uses this agent. */
import { type Command, Option } from 'commander'
import { pino } from 'pino'
import { type Grant, type Role, roles } from '../access/roles.ts'
import { type CreatedToken, CreatedTokenSchema, type NewTokenDocument } from '../http/api/token-routes.ts'
import { parseDuration } from '../oci/quantities.ts'
import { Shape } from '../oci/shape.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import { type CommandContext, loadConfigFor } from './context.ts'

const createdToken = new Shape(CreatedTokenSchema)

interface CreateFlags extends ApiFlags {
  readonly role: readonly Role[]
  readonly namespace?: readonly string[]
  readonly expires?: string
  readonly offline?: boolean
}

export function addTokenCreate(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('create'))
    .argument('<NAME>', 'whose it is, as the audit will name the caller')
    .addOption(new Option('--role <ROLE...>', 'what its owner may do').choices([...roles]).makeOptionMandatory())
    .option('-n, --namespace <NAMESPACE...>', 'in these namespaces alone (default: everywhere)')
    .option('--expires <DURATION>', 'valid for so long, e.g. 12h, 90d (default: until it is revoked)')
    .option('--offline', 'work on the state folder itself, while no agent runs on it: when there is no way in any more')
    .description('make a token; it is printed once and kept as a hash alone')
    .action((name: string, flags: CreateFlags) => create(context, name, flags))
}

async function create(context: CommandContext, name: string, flags: CreateFlags): Promise<void> {
  const expiresAt = endOf(flags.expires)
  const wanted = { name, grants: grantsOf(flags), ...(expiresAt === undefined ? {} : { expiresAt }) }
  const created = flags.offline
    ? await createOffline(context, wanted, flags)
    : await createByApi(context, wanted, flags)
  if (flags.json) return context.terminal.printJson({ ...created, ...wanted })
  context.terminal.print(created.token)
  const until = expiresAt === undefined ? 'until it is revoked' : `until ${expiresAt}`
  context.terminal.note(`token ${created.id} of ${name}, valid ${until}; it is not shown again`)
}

/** Every role in every namespace. */
function grantsOf({ role, namespace = ['*'] }: CreateFlags): Grant[] {
  return role.flatMap(one => namespace.map(where => ({ role: one, namespace: where })))
}

function endOf(expires: string | undefined): string | undefined {
  if (expires === undefined) return undefined
  const ms = parseDuration(expires)
  if (ms === undefined || ms === 0) {
    throw new CliError(`--expires "${expires}" is not a duration, e.g. 30m, 12h, 90d`, { exitStatus: 2 })
  }
  return new Date(Date.now() + ms).toISOString()
}

function createByApi(context: CommandContext, wanted: NewTokenDocument, flags: CreateFlags): Promise<CreatedToken> {
  return withApi(context, flags, client => client.ask('POST', '/v1/tokens', createdToken, JSON.stringify(wanted)))
}

async function createOffline(
  context: CommandContext,
  { expiresAt, ...wanted }: NewTokenDocument,
  flags: CreateFlags,
): Promise<CreatedToken> {
  const { config } = loadConfigFor(context, flags.config)
  const { createTokenOffline } = await context.agent()
  const ends = expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) }
  const { id, secret } = createTokenOffline(config, { ...wanted, ...ends }, { logger: pino({ level: 'silent' }) })
  return { id, token: secret }
}
