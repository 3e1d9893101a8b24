/** What the commands that talk to the running agent have in common: finding its address, and closing the connection. */
import type { Command } from 'commander'
import { formatListen } from '../config/forms.ts'
import { ConfigError, loadConfig } from '../config.ts'
import { ApiClient } from './api-client.ts'
import type { CommandContext } from './context.ts'

export interface ApiFlags {
  readonly api?: string
  readonly json?: boolean
}

/** Adds `--api` and `--json`. */
export function addApiOptions(command: Command): Command {
  return command
    .option(
      '--api <URL>',
      'address of the running agent (default: EDGE_IMAGE_AGENT_API, else api.listen of the configuration)',
    )
    .option('--json', 'print the result as JSON')
}

/** Runs `work` with a client of the agent that the flags, the environment or the configuration name. */
export async function withApi<T>(
  context: CommandContext,
  flags: ApiFlags,
  work: (client: ApiClient) => Promise<T>,
): Promise<T> {
  const client = new ApiClient(flags.api ?? (context.env.EDGE_IMAGE_AGENT_API || configuredAddress(context)))
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

/** Where the agent of this machine listens, as far as its configuration can be read by who asks. */
function configuredAddress(context: CommandContext): string {
  try {
    const { host, port } = loadConfig({ env: context.env }).config.api.listen
    const everywhere = host === '0.0.0.0' || host === '::'
    return `http://${formatListen({ host: everywhere ? '127.0.0.1' : host, port })}`
  } catch (error) {
    // Secrets may be readable for the agent's user alone; asking for a status must work all the same.
    if (!(error instanceof ConfigError)) throw error
    context.terminal.note('warning: the configuration can not be used to find the agent; trying http://127.0.0.1:8080')
    return 'http://127.0.0.1:8080'
  }
}
