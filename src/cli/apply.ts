/** `apply`: makes what documents say be there: sources, Repositories, cleanup policies and plans. */
import type { Command } from 'commander'
import { inOrder } from '../management/document-files.ts'
import type { ApiFailure } from './api-client.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { type Done, describeGiven, doneWith, type Given, readGiven } from './given-documents.ts'
import { isAboutOne, ObjectClient, Refusal } from './object-client.ts'
import { printable } from './terminal.ts'

interface ApplyFlags extends ApiFlags {
  readonly filename: string[]
  readonly namespace?: string
}

export function addApply(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('apply'))
    .requiredOption(
      '-f, --filename <FILE...>',
      'files of documents, YAML or JSON; a folder of them; - is standard input',
    )
    .option('-n, --namespace <NAMESPACE>', 'for documents that name none (default: default)')
    .description('create what documents describe, or edit it where it is there')
    .action((flags: ApplyFlags) => apply(context, flags))
}

async function apply(context: CommandContext, flags: ApplyFlags): Promise<void> {
  const { terminal } = context
  const { given, problems } = await readGiven(flags.filename, flags.namespace)
  for (const problem of problems) terminal.note(printable(`error: ${problem}`))
  const done: Done[] = []
  let failed = problems.length
  await withApi(context, flags, async api => {
    const client = new ObjectClient(api)
    for (const one of inOrder(given.map(one => ({ ...one, kind: one.kind.kind, given: one }))).map(
      ({ given }) => given,
    )) {
      try {
        const outcome = await client.apply(one.kind, one.namespace, one.name, one.document)
        done.push(doneWith(one, outcome))
        if (!flags.json) terminal.print(printable(`${describeGiven(one)} ${outcome}`))
      } catch (error) {
        if (!isAboutOne(error)) throw error
        failed++
        tell(context, one, error)
      }
    }
  })
  if (flags.json) terminal.printJson(done)
  if (failed > 0) throw new CliError(`${failed} of ${given.length + problems.length} could not be applied`)
}

function tell({ terminal }: CommandContext, { where, ...one }: Given, error: Refusal | ApiFailure): void {
  terminal.note(printable(`error: ${where}: ${describeGiven(one)}: ${error.message}`))
  const problems = error instanceof Refusal ? error.problems : error.details
  for (const problem of problems) if (problem !== error.message) terminal.note(printable(`  ${problem}`))
  if (error instanceof Refusal && error.reason === 'Conflict') {
    terminal.note(
      printable(`hint: edge-image-agent delete ${one.kind.singular} ${one.name} -n ${one.namespace}, then apply again`),
    )
  }
}
