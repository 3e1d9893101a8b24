/** `collect`: takes away what nothing leads to any more, now. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Static } from 'typebox'
import { CollectedSchema, type CollectionDocument, CollectionSchema } from '../http/api/upkeep-routes.ts'
import { Shape } from '../oci/shape.ts'
import type { ApiClient } from './api-client.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { formatBytes } from './format.ts'

const collected = new Shape(CollectedSchema)
const collection = new Shape(CollectionSchema)
const askEveryMs = 500

export function addCollect(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('collect'))
    .option('--dry-run', 'only tell what would go')
    .description(
      'free the space of content that nothing leads to any more; the agent does so by itself every six hours',
    )
    .action(async (flags: ApiFlags & { dryRun?: boolean }) => {
      const { terminal } = context
      if (flags.dryRun) {
        const report = await withApi(context, flags, client =>
          client.ask('POST', '/v1/collection?dryRun=true', collected),
        )
        return flags.json ? terminal.printJson(report) : terminal.print(`would free ${describe(report)}`)
      }
      const ended = await withApi(context, flags, collectToEnd)
      if (flags.json) terminal.printJson(ended)
      else if (ended.last !== null) terminal.print(`freed ${describe(ended.last)}`)
      if (ended.error !== null) throw new CliError(`the collection did not come to its end: ${ended.error}`)
      if (!flags.json) for (const limit of ended.limits) terminal.note(limit)
    })
}

async function collectToEnd(client: ApiClient): Promise<CollectionDocument> {
  let now = await client.ask('POST', '/v1/collection', collection)
  while (now.running) {
    await sleep(askEveryMs)
    now = await client.ask('GET', '/v1/collection', collection)
  }
  return now
}

function describe({ files, bytesFreed, manifests, blobs }: Static<typeof CollectedSchema>): string {
  return `${formatBytes(bytesFreed)}: ${files} files, ${manifests} manifests and ${blobs} blobs of repositories`
}
