/** What the commands that talk to the running agent have in common: finding it, showing a token, and closing the connection. */
import type { Command } from 'commander'
import { ApiClient } from './api-client.ts'
import { findTarget, type TargetFlags } from './api-target.ts'
import type { CommandContext } from './context.ts'

export interface ApiFlags extends TargetFlags {
  readonly json?: boolean
}

/** Adds `--api`, `--token`, `--config` and `--json`. */
export function addApiOptions(command: Command): Command {
  return command
    .option(
      '--api <URL>',
      'address of the running agent (default: EDGE_IMAGE_AGENT_API, else api.listen of the configuration)',
    )
    .option(
      '--token <TOKEN>',
      'the token to show (default: EDGE_IMAGE_AGENT_TOKEN, else, for the agent of this machine, its admin-token)',
    )
    .option('--config <FILE>', "the configuration of this machine's agent, to find address and token")
    .option('--json', 'print the result as JSON')
}

/** Runs `work` with a client of the agent that the flags, the environment or the configuration name. */
export async function withApi<T>(
  context: CommandContext,
  flags: ApiFlags,
  work: (client: ApiClient) => Promise<T>,
): Promise<T> {
  const client = new ApiClient(findTarget(context, flags))
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
