/** `delete`: takes objects away, by name or as documents name them; a plan is withdrawn. What was pulled already stays. */
import type { Command } from 'commander'
import { inOrder } from '../management/document-files.ts'
import { type ApiFlags, addApiOptions, withApi } from './api-command.ts'
import { CliError } from './cli-error.ts'
import type { CommandContext } from './context.ts'
import { type Done, doneWith, type Given, readGiven } from './given-documents.ts'
import { findKind, fullName, kindHelp } from './kinds.ts'
import { isAboutOne, isNotFound, ObjectClient } from './object-client.ts'
import { printable } from './terminal.ts'

type Target = Pick<Given, 'kind' | 'namespace' | 'name'>

interface DeleteFlags extends ApiFlags {
  readonly filename?: string[]
  readonly namespace?: string
  readonly ignoreNotFound?: boolean
}

export function addDelete(parent: Command, context: CommandContext): void {
  addApiOptions(parent.command('delete'))
    .argument('[KIND]', `what: ${kindHelp}; or KIND/NAME`)
    .argument('[NAME...]', 'their names')
    .option('-f, --filename <FILE...>', 'files of documents: what they describe is deleted, in reverse order')
    .option('-n, --namespace <NAMESPACE>', 'the namespace (default: default)')
    .option('--ignore-not-found', 'what is not there is no error')
    .description('delete objects; withdraw plans')
    .action((kind: string | undefined, names: string[], flags: DeleteFlags) => remove(context, kind, names, flags))
}

async function remove(context: CommandContext, kind: string | undefined, names: readonly string[], flags: DeleteFlags) {
  const { terminal } = context
  const { targets, problems } = await readTargets(kind, names, flags)
  for (const problem of problems) terminal.note(printable(`error: ${problem}`))
  const done: Done[] = []
  let failed = problems.length
  await withApi(context, flags, async api => {
    const client = new ObjectClient(api)
    for (const target of targets) {
      try {
        await client.delete(target.kind, target.namespace, target.name)
        done.push(doneWith(target, 'deleted'))
        if (!flags.json) terminal.print(printable(`${fullName(target.kind)} "${target.name}" deleted`))
      } catch (error) {
        if (isNotFound(error) && flags.ignoreNotFound) continue
        if (!isAboutOne(error)) throw error
        failed++
        terminal.note(printable(`error: ${fullName(target.kind)}/${target.name}: ${error.message}`))
      }
    }
  })
  if (flags.json) terminal.printJson(done)
  if (failed > 0) throw new CliError(`${failed} of ${targets.length + problems.length} could not be deleted`)
}

async function readTargets(
  word: string | undefined,
  names: readonly string[],
  flags: DeleteFlags,
): Promise<{ targets: readonly Target[]; problems: readonly string[] }> {
  if (flags.filename) {
    if (word !== undefined) throw new CliError('name objects, or files with -f: not both', { exitStatus: 2 })
    const { given, problems } = await readGiven(flags.filename, flags.namespace)
    // Those that others refer to go last.
    const ordered = inOrder(given.map(one => ({ kind: one.kind.kind, given: one })))
    return { targets: ordered.reverse().map(({ given }) => given), problems }
  }
  const [kindWord, first, ...more] = word?.split('/') ?? []
  const all = first === undefined ? names : [first, ...names]
  if (kindWord === undefined || all.length === 0 || more.length > 0 || all.includes('')) {
    throw new CliError('say what to delete: KIND NAME, KIND/NAME or -f FILE', { exitStatus: 2 })
  }
  const kind = findKind(kindWord)
  return { targets: all.map(name => ({ kind, name, namespace: flags.namespace ?? 'default' })), problems: [] }
}
