/** `audit verify` and `audit export`: the proof that no record was changed or taken away, and all of them for others to check. */
import type { Command } from 'commander'
import { type VerificationDocument, VerificationSchema } from '../http/api/audit-routes.ts'
import { Shape } from '../oci/shape.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'

const verification = new Shape(VerificationSchema)

export function addAuditVerify(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('verify'))
    .description('prove that no record was changed or taken away; exit status 1 where one was')
    .action(async (flags: ApiFlags) => {
      const found = await withApi(context, flags, client => client.ask('GET', '/v1/audit/verify', verification))
      if (flags.json) context.terminal.printJson(found)
      else if (found.ok) for (const line of describe(found)) context.terminal.print(line)
      if (!found.ok)
        throw new CliError(`record ${found.brokenAt} is ${found.reason}: ${found.checked} before it are right`)
    })
}

function describe({ checked, since, head }: VerificationDocument): string[] {
  if (since === null) return ['there are no records']
  return [
    `${checked} records since ${since} are as they were written`,
    `the last one is ${head.seq} with the hash ${head.hash}; noted elsewhere, it shows later that nothing was rewritten`,
  ]
}

export function addAuditExport(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('export'))
    .description('print every record, the oldest first, as lines of JSON')
    .action((flags: ApiFlags) =>
      withApi(context, flags, async client => {
        for await (const text of client.stream('/v1/audit/export')) context.terminal.write(text)
      }),
    )
}
